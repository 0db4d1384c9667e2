"""What an account did bar by bar, as arrays, and the statistics of it: one definition for page and table."""

from collections.abc import Sequence
from math import log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bot.errors import UsageError
from bot.ledger import accounts, reading, tables
from bot.model import Array, training_span
from bot.trading import MINIMUM, POLICY, SYNTHETIC, AccountTerms, Fill

_TINY = float(np.finfo(float).tiny)


class AccountHistory(NamedTuple):
    """One account over n consecutive bars, oldest first; every array (n,), money in quote currency.

    `values` is the worth before the first bar's action, then the worth at each close after its action, so that its
    n - 1 changes hold every gain and every cost; `holds` the initial holdings at the same closes. `shares` is the
    coins' part of the value after the action, `probabilities` (n, 3) those of hold, buy and sell. `traded` is the
    value moved as a part of the account's, `commissions` what was paid, `slippages` how much worse than the close the
    fill was, `in_sample` whether the model had learned from the bar. `value` is the worth after the last action, as
    the ledger has it.
    """

    terms: AccountTerms
    bar_times: NDArray[np.int64]
    closes: Array
    values: Array
    holds: Array
    shares: Array
    probabilities: Array
    traded: Array
    commissions: Array
    slippages: Array
    reasons: list[str]
    models: list[str]
    in_sample: NDArray[np.bool_]
    fills: dict[int, Fill]
    value: float


def read_histories(connection: Connection, main: str, names: Sequence[str] | None) -> list[AccountHistory]:
    """The histories of those accounts, or of all on the main account's market where none is named.

    Raises UsageError where one has no decision.
    """
    return [read_history(connection, name) for name in dict.fromkeys(names or account_names(connection, main))]


def account_names(connection: Connection, first: str) -> list[str]:
    """The accounts with decisions on the market of account `first`, that one in front, the others by name.

    Raises UsageError where there is no such account.
    """
    opened = accounts.read_terms(connection, first)
    if opened is None:
        raise UsageError(f"account {first!r} has not decided a bar in this ledger: choose another with --account")
    a = tables.accounts.c
    names = connection.execute(select(a.account).where(a.market == opened.market).order_by(a.account)).scalars()
    return [first, *(name for name in names if name != first)]


def read_history(connection: Connection, account: str, first: int = 0, end: int = 2**62) -> AccountHistory:
    """The account's bars with first <= bar_time < end. Raises UsageError where there are none."""
    terms = accounts.read_terms(connection, account)
    d = [stored.decision for stored in reading.read_decisions(connection, account, first, end)] if terms else []
    if terms is None or not d:
        raise UsageError(f"account {account!r} has not decided a bar there: `hourhand status --account` shows its bars")
    candles = reading.read_candles_between(connection, terms.market, d[0].bar_time, d[-1].bar_time + 1)
    closes = np.array([candle.close for candle in candles])
    earlier = list(reading.read_decisions(connection, account, d[0].bar_time - terms.bar, d[0].bar_time))
    held = earlier[0].decision if earlier else None
    balance, stocks = (held.balance, held.stocks) if held else (terms.rules.initial_balance, terms.rules.initial_stocks)
    fills = {t: fill for t, fill in reading.read_fills(connection, account).items() if first <= t < end}
    values = np.array([row.value for row in d])
    coins = np.array([row.stocks for row in d])
    before = np.array([balance, *(row.balance for row in d[:-1])]) + np.array([stocks, *coins[:-1]]) * closes
    moved, paid, slipped = np.zeros((3, len(d)))
    for place, row in enumerate(d):
        fill = fills.get(row.bar_time)
        if fill is not None:
            moved[place] = fill.cost if fill.side == "buy" else fill.amount * closes[place]
            paid[place] = fill.commission
            slipped[place] = (fill.price - closes[place]) * (1 if fill.side == "buy" else -1) * fill.amount
    return AccountHistory(
        terms,
        np.array([row.bar_time for row in d]),
        closes,
        np.concatenate([before[:1], values[1:]]),
        np.array([row.hold_value for row in d]),
        coins * closes / np.maximum(values, _TINY),
        np.array([[row.p_hold, row.p_buy, row.p_sell] for row in d]),
        moved / np.maximum(before, _TINY),
        paid,
        slipped,
        [row.reason for row in d],
        [row.model_id for row in d],
        _in_sample(connection, [(row.model_id, row.bar_time) for row in d]),
        fills,
        float(values[-1]),
    )


def _in_sample(connection: Connection, bars: Sequence[tuple[str, int]]) -> NDArray[np.bool_]:
    """Whether each (model_id, bar_time) lies in the span that the model learned from."""
    m = tables.models.c
    rows = connection.execute(select(m.model_id, m.manifest).where(m.model_id.in_({model_id for model_id, _ in bars})))
    spans = {model_id: training_span(manifest) for model_id, manifest in rows}
    found = [(spans.get(model_id), bar_time) for model_id, bar_time in bars]
    return np.array([span is not None and span[0] <= bar_time <= span[1] for span, bar_time in found])


def align_histories(
    connection: Connection, whole: Sequence[AccountHistory], *, keep_all: bool = False
) -> tuple[list[AccountHistory], list[str]]:
    """The histories cut to the hours that all of them have, none where there are no such hours; and the names of those
    that were left out.

    Left out, unless `keep_all`, is an account without which the others have more than twice as many hours in common,
    the one that costs them most first; never the first account, nor the only other one unless it has none in common.
    """
    kept, left_out = list(whole), []
    while not keep_all and len(kept) > 1:
        hours = _common_bars(kept)
        costs = [
            (_common_bars([*kept[:place], *kept[place + 1 :]]), -_common_bars([kept[0], kept[place]]), place)
            for place in range(1, len(kept))
        ]
        without, _, place = max(costs)
        if hours and (len(kept) == 2 or without <= 2 * hours):
            break
        left_out.append(kept.pop(place).terms.name)
    if not _common_bars(kept):
        return [], left_out
    first = max(int(history.bar_times[0]) for history in kept)
    last = min(int(history.bar_times[-1]) for history in kept)
    return [
        history
        if (history.bar_times[0], history.bar_times[-1]) == (first, last)
        else read_history(connection, history.terms.name, first, last + 1)
        for history in kept
    ], left_out


def _common_bars(histories: Sequence[AccountHistory]) -> int:
    first = max(int(history.bar_times[0]) for history in histories)
    last = min(int(history.bar_times[-1]) for history in histories)
    return max((last - first) // histories[0].terms.bar + 1, 0)


def exposure(history: AccountHistory) -> float:
    """Mean of the coins' share of the value over the bars."""
    return float(history.shares.mean())


def mix(history: AccountHistory) -> Array:
    """Worth (n,) of an account that starts with the same value, and is brought back to the account's own mean share in
    coins every hour, free of cost.
    """
    return constant_mix(float(history.values[0]), history.closes, exposure(history))


def constant_mix(start: float, closes: Array, share: float) -> Array:
    """Worth (n,) of an account that starts with `start` and is brought back to the same share in coins at each close
    (n,), free of cost.
    """
    changes = np.diff(closes) / closes[:-1]
    grown: Array = start * np.concatenate([[1.0], np.cumprod(1 + share * changes)])
    return grown


def drawdowns(values: Array) -> Array:
    """How far each value (n, ...) lies below the highest before it, as a part of that: (n, ...), 0 or more."""
    below: Array = 1 - values / np.maximum(np.maximum.accumulate(values, axis=0), _TINY)
    return below


def log_return(values: Array) -> float | None:
    """Natural logarithm of last over first, None where one of them is not positive."""
    first, last = float(values[0]), float(values[-1])
    return log(last / first) if first > 0 and last > 0 else None


def account_statistics(history: AccountHistory) -> dict[str, Any]:
    """The account in numbers; returns are total natural logarithms over the span, not annualised.

    `excess` is value less hold_value in quote; `excess_log_return` the log return less that of holding,
    `timing_log_return` less that of the constant mix; `turnover` the value traded in multiples of the account's.
    `missed` counts the bars that were observed and not traded on, because they came too late or the clock was off,
    `synthetic` those that the exchange did not have.
    """
    mine, hold, mixed = log_return(history.values), log_return(history.holds), log_return(mix(history))
    return {
        "account": history.terms.name,
        "bars": len(history.bar_times),
        "first": int(history.bar_times[0]),
        "last": int(history.bar_times[-1]),
        "value": history.value,
        "hold_value": float(history.holds[-1]),
        "excess": history.value - float(history.holds[-1]),
        "log_return": mine,
        "hold_log_return": hold,
        "constant_mix_log_return": mixed,
        "excess_log_return": _less(mine, hold),
        "timing_log_return": _less(mine, mixed),
        "max_drawdown": float(drawdowns(history.values).max()),
        "hold_max_drawdown": float(drawdowns(history.holds).max()),
        "exposure": exposure(history),
        "trades": len(history.fills),
        "turnover": float(history.traded.sum()),
        "commission": float(history.commissions.sum()),
        "slippage": float(history.slippages.sum()),
        "missed": sum(reason not in (POLICY, MINIMUM, SYNTHETIC) for reason in history.reasons),
        "synthetic": history.reasons.count(SYNTHETIC),
        "swaps": len(swaps(history)),
        "models": models_by_last_bar(history),
        "in_sample_bars": int(history.in_sample.sum()),
    }


def models_by_last_bar(history: AccountHistory) -> list[str]:
    """Each model that decided, the one of the newest bar last."""
    return list(dict.fromkeys(reversed(history.models)))[::-1]


def swaps(history: AccountHistory) -> list[int]:
    """The places of the bars that were the first of another model."""
    return [n for n in range(1, len(history.models)) if history.models[n] != history.models[n - 1]]


def months(history: AccountHistory) -> list[dict[str, Any]]:
    """A row for each calendar month (UTC) that has a bar: `month` (2021-06), `bars`, the simple returns `value`, `hold`
    and `mix` from the last value of the month before (in the first month, the first value), `max_drawdown` within
    the month, mean `exposure`, `trades`, `commission` and `in_sample_bars`.
    """
    mixed = mix(history)
    rows = []
    for name, base, start, end in month_bounds(history.bar_times):
        times = history.bar_times[start:end].tolist()
        rows.append(
            {
                "month": name,
                "bars": end - start,
                "value": _change(history.values, base, end),
                "hold": _change(history.holds, base, end),
                "mix": _change(mixed, base, end),
                "max_drawdown": float(drawdowns(history.values[base:end]).max()),
                "exposure": float(history.shares[start:end].mean()),
                "trades": sum(time in history.fills for time in times),
                "commission": float(history.commissions[start:end].sum()),
                "in_sample_bars": int(history.in_sample[start:end].sum()),
            }
        )
    return rows


def month_bounds(bar_times: NDArray[np.int64]) -> list[tuple[str, int, int, int]]:
    """Each calendar month (UTC) that has a bar: its name (2021-06), the place that its returns count from (the last bar
    of the month before, in the first month its own first), the place of its first bar, and of the one after its last.
    """
    names = bar_times.astype("datetime64[s]").astype("datetime64[M]")
    starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist()]
    ends = [*starts[1:], len(names)]
    return [(str(names[start]), max(start - 1, 0), start, end) for start, end in zip(starts, ends, strict=True)]


def _change(values: Array, base: int, end: int) -> float | None:
    return float(values[end - 1] / values[base] - 1) if values[base] > 0 else None


def _less(mine: float | None, other: float | None) -> float | None:
    return None if mine is None or other is None else mine - other
