"""Accounts over a span of candles: the policy as the daemon runs it, and what it is measured against."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.errors import ModelError, UsageError
from bot.market import Candle, fill_gaps
from bot.model import ACTIONS, BUY, DECIMALS, HOLD, SELL, USUAL_WARMUP, Array, Model, Observation, choose, draw
from bot.report import constant_mix
from bot.trading import Rules, account_value, execute, hold_value_at
from training.data import Market, inside, numbers

ACCOUNT: Final = "main"
RANDOM_RUNS: Final = 32
_CLOSE_ENOUGH: Final = 0.005
_TRIES: Final = 12


class Span(NamedTuple):
    """Candles of `bar` seconds without holes: those before `first` warm the policy up, the others are decided."""

    candles: list[Candle]
    first: int
    bar: int

    @property
    def decided(self) -> list[Candle]:
        """The candles that are decided."""
        return self.candles[self.first :]

    @property
    def closes(self) -> Array:
        """Their closes, (n,)."""
        return numbers(self.decided)[:, 3]


class Runs(NamedTuple):
    """R accounts over n bars, every array (n, R).

    `values` is in quote: the initial worth at the first close, then the worth at each close after its action, so
    that the n - 1 changes hold every gain and every cost. `stocks` is the coins after the action, `shares` their part
    of the value; `traded` what was bought or sold, and `costs` its commission and slippage, as parts of the value;
    `actions` what was done.
    """

    values: Array
    stocks: Array
    shares: Array
    traded: Array
    costs: Array
    actions: NDArray[np.int64]


def span_of(
    candles: Sequence[Candle], since: int | None, until: int | None, bar: int, warmup: int = USUAL_WARMUP
) -> Span:
    """The bars with `since <= bar_time < until` and up to `warmup` before them, holes filled as the daemon fills them.

    Raises UsageError where fewer than two candles lie there.
    """
    run = fill_gaps([candle for candle in candles if until is None or candle.bar_time < until], bar)
    first = next((n for n, candle in enumerate(run) if since is None or candle.bar_time >= since), len(run))
    if len(run) - first < 2:
        raise UsageError("there are fewer than two candles from --from to --to")
    start = max(first - warmup, 0)
    return Span(run[start:], first - start, bar)


def spans_of(
    markets: Sequence[Market], since: int | None, until: int | None, warmup: int = USUAL_WARMUP
) -> dict[str, Span]:
    """The span, by its name, of each market that has at least two candles with `since <= bar_time < until`.

    Raises UsageError where none has.
    """
    spans = {}
    for market in markets:
        if len(markets) == 1 or len(inside(market.candles, since, until)) >= 2:
            spans[market.name] = span_of(market.candles, since, until, market.bar, warmup)
    if not spans:
        raise UsageError("there are fewer than two candles from --from to --to in any of the files")
    return spans


def policy_runs(
    model: Model,
    span: Span,
    rules: Rules,
    mode: str = "sample",
    seeds: Sequence[int] = (0,),
    progress: Callable[[int], None] | None = None,
    slippage_bps: float = 0.0,
) -> Runs:
    """The daemon's policy on the span, once for each seed: same steps, rounding, draws and fills, R accounts at once.

    `progress` receives the number of bars done. Raises ModelError where the policy's arithmetic overflows.
    """
    accounts = (len(seeds),)
    memory = np.tile(model.policy.start(), (*accounts, 1))

    def look(n: int, balance: Array, stocks: Array) -> Array:
        nonlocal memory
        before = span.candles[n - 1] if n else None
        seen = Observation(span.candles[n], before, balance, stocks, rules)
        probabilities, _, memory = model.policy.step(seen, memory)
        return probabilities

    balance, stocks = np.full(accounts, rules.initial_balance), np.full(accounts, rules.initial_stocks)
    for n in range(span.first):
        look(n, balance, stocks)

    def act(n: int, balance: Array, stocks: Array) -> list[int]:
        probabilities = look(span.first + n, balance, stocks)
        candle = span.candles[span.first + n]
        if not np.isfinite(probabilities).all():
            raise ModelError(f"model {model.model_id} gives no finite output for candle {candle.bar_time}")
        if progress:
            progress(n + 1)
        if candle.synthetic:
            return [HOLD] * len(seeds)
        wanted = []
        for row, seed in zip(probabilities.tolist(), seeds, strict=True):
            p_hold, p_buy, p_sell = (round(p, DECIMALS) for p in row)
            wanted.append(choose(p_hold, p_buy, p_sell, draw(seed, ACCOUNT, candle.bar_time), mode))
        return wanted

    return _carried_out(span, rules, len(seeds), act, slippage_bps)


def random_runs(span: Span, rules: Rules, like: Runs, seed: int = 0, slippage_bps: float = 0.0) -> Runs:
    """Chance with the policy's turnover: 32 accounts that buy and sell at random hours.

    Each hour buys with probability k b and sells with k s, where b and s are how often the policy bought and sold,
    and k is searched until the mean turnover is the policy's within half a percent, or as near as k (b + s) <= 1 can
    come. The same uniform numbers are used for every k.
    """
    often = [float((like.actions == action).mean()) for action in (BUY, SELL)]
    target = turnover(like)
    chance = np.random.default_rng(seed).random((len(span.decided), RANDOM_RUNS))
    traded = np.array([not candle.synthetic for candle in span.decided])[:, None]
    factor, most = 1.0, 1 / max(sum(often), 1e-12)
    runs = like
    for _ in range(_TRIES):
        buy, sell = factor * often[0], factor * often[1]
        wanted = np.where(chance < buy, BUY, np.where(chance < buy + sell, SELL, HOLD)) * traded
        runs = planned_runs(span, rules, wanted, slippage_bps)
        got = turnover(runs)
        if target == 0 or got == 0 or abs(got / target - 1) < _CLOSE_ENOUGH:
            break
        factor = min(factor * target / got, most)
    return runs


def planned_runs(span: Span, rules: Rules, actions: NDArray[np.int64], slippage_bps: float = 0.0) -> Runs:
    """Accounts whose actions (n, R) are known beforehand."""
    return _carried_out(span, rules, actions.shape[1], partial(_as_planned, actions), slippage_bps)


def _as_planned(wanted: NDArray[np.int64], n: int, _balance: Array, _stocks: Array) -> NDArray[np.int64]:
    row: NDArray[np.int64] = wanted[n]
    return row


def hold_values(span: Span, rules: Rules) -> Array:
    """Worth of the initial holdings, never touched, at each close (n, 1)."""
    values: Array = hold_value_at(span.closes, rules)[:, None]
    return values


def mix_values(span: Span, rules: Rules, share: float) -> Array:
    """Worth (n, 1) of an account that is brought back to the same share in coins every hour, free of cost."""
    return constant_mix(hold_value_at(span.closes[0], rules), span.closes, share)[:, None]


def turnover(runs: Runs) -> float:
    """Value traded over the span as a multiple of the account's value: the sum over the bars, mean of the runs."""
    return float(runs.traded.sum(0).mean())


def counts(runs: Runs) -> dict[str, float]:
    """How many bars each action was done at, mean of the runs."""
    return {name: float((runs.actions == action).sum(0).mean()) for action, name in enumerate(ACTIONS)}


def _carried_out(
    span: Span,
    rules: Rules,
    accounts: int,
    act: Callable[[int, Array, Array], Sequence[int] | NDArray[np.int64]],
    slippage_bps: float,
) -> Runs:
    closes = span.closes.tolist()
    shape = (len(closes), accounts)
    values, held, shares, traded, costs = (np.empty(shape) for _ in range(5))
    actions = np.empty(shape, np.int64)
    balance, stocks = np.full(accounts, rules.initial_balance), np.full(accounts, rules.initial_stocks)
    for n, close in enumerate(closes):
        wanted = np.asarray(act(n, balance, stocks))
        before = account_value(balance, stocks, close)
        done = execute(wanted, balance, stocks, close, rules, slippage_bps)
        balance, stocks = done.balance, done.stocks
        values[n] = before if n == 0 else account_value(balance, stocks, close)
        held[n] = stocks
        slipped = np.abs(done.price - close) * done.amount
        floor = np.maximum(before, np.finfo(float).tiny)
        traded[n], costs[n] = done.cost / floor, (done.commission + slipped) / floor
        shares[n] = stocks * close / np.maximum(account_value(balance, stocks, close), np.finfo(float).tiny)
        actions[n] = done.action
    return Runs(values, held, shares, traded, costs, actions)
