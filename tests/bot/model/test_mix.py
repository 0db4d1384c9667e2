"""The rule `mix`: it stands at its share, returns in few and small trades, and never trades to and fro."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.market import Candle
from bot.model import BUY, HOLD, SELL, Observation
from bot.model.mix import INNER, MOST_TRADES, Mix
from bot.trading import Rules, execute

FREE = Rules(min_buy_value=0.0, min_sell_amount=0.0)
SHARES, BANDS, FRACTIONS = st.floats(0.1, 0.9), st.floats(0.03, 0.3), st.floats(0.05, 1.0)


def candle(n: int, close: float) -> Candle:
    return Candle(n * 3600, close, close, close, close, 1.0)


def walk(mix: Mix, rules: Rules, start: float, closes: Sequence[float]) -> list[tuple[float, int]]:
    """Share less the rule's before each bar's action, and the action, of an account worth 10,000 that starts at a
    share.
    """
    balance, stocks, memory = 10_000 * (1 - start), 10_000 * start / closes[0], mix.start()
    rows = []
    for n, close in enumerate(closes):
        off = stocks * close / (balance + stocks * close) - mix.share
        output = mix.step(Observation(candle(n, close), None, balance, stocks, rules), memory)
        assert sorted(output.probabilities.tolist()) == [0.0, 0.0, 1.0]
        action = int(output.probabilities.argmax())
        done = execute(action, balance, stocks, close, rules)
        assert done.action == action, "an action that the account refuses"
        balance, stocks, memory = done.balance, done.stocks, output.memory
        rows.append((off, action))
    return rows


def returns_of(rows: Sequence[tuple[float, int]], band: float) -> list[int]:
    """How many trades each return took: trades without a held bar in between. Each began outside of the band."""
    counts, last = [], HOLD
    for off, action in rows:
        if action != HOLD and last == HOLD:
            assert abs(off) > band
            counts.append(0)
        if action != HOLD:
            counts[-1] += 1
        last = action
    return counts


@settings(max_examples=60, deadline=None)
@given(SHARES, BANDS, FRACTIONS, st.floats(0, 1), st.floats(0, 0.05))
def test_at_a_price_that_stands_still_it_returns_once_and_then_holds(
    share: float, band: float, fraction: float, start: float, commission: float
) -> None:
    rules = FREE._replace(trade_fraction=fraction, commission=commission)
    rows = walk(Mix(share, band), rules, start, [100.0] * 80)
    actions = [action for _, action in rows]
    last = max((n for n, action in enumerate(actions) if action != HOLD), default=-1)
    assert HOLD not in actions[: last + 1]
    assert last < 70
    if fraction <= 0.5 and band >= 0.13:  # four halves end within 1/32 of any share, and a commission moves it a little
        assert abs(rows[-1][0]) <= (INNER * band if abs(rows[0][0]) > band else band)
        assert last < 2 * MOST_TRADES or fraction < 0.3


@settings(max_examples=30, deadline=None)
@given(SHARES, BANDS, FRACTIONS, st.floats(0, 1), st.lists(st.floats(-0.01, 0.01), min_size=100, max_size=100))
def test_every_return_begins_outside_of_the_band_and_is_short(
    share: float, band: float, fraction: float, start: float, moves: list[float]
) -> None:
    rules = FREE._replace(trade_fraction=fraction)
    rows = walk(Mix(share, band), rules, start, list(100 * np.cumprod(1 + np.array(moves))))
    counts = returns_of(rows, band)
    if fraction >= 0.3:
        assert max(counts, default=0) <= 2 * MOST_TRADES
    travelled = sum(abs(move) for move in moves) / 4  # a price's move of x moves a share by a quarter of x at most
    if fraction <= 0.5 and band >= 0.13:
        assert len(counts) <= 1 + travelled / (INNER * band)


@settings(max_examples=25, deadline=None)
@given(SHARES, BANDS, FRACTIONS, st.lists(st.floats(0.5, 2.0), min_size=40, max_size=40))
def test_nothing_that_a_price_does_makes_it_trade_inside_of_the_band(
    share: float, band: float, fraction: float, jumps: list[float]
) -> None:
    rules = FREE._replace(trade_fraction=fraction)
    returns_of(walk(Mix(share, band), rules, share, list(100 * np.cumprod(jumps))), band)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.25, 0.75), st.floats(0.13, 0.25), st.floats(0.01, 0.99))
def test_a_return_takes_the_least_turnover_that_leads_there(share: float, band: float, start: float) -> None:
    """Against every sequence of up to four halves, in a world without commission."""
    rules = FREE._replace(commission=0.0)
    rows = walk(Mix(share, band), rules, start, [100.0] * 12)
    if abs(start - share) <= band:
        assert not any(action for _, action in rows)
        return
    costs = []
    for length in range(1, MOST_TRADES + 1):
        for plan in product((BUY, SELL), repeat=length):
            at, cost = start, 0.0
            for action in plan:
                moved = (1 - at) / 2 if action == BUY else at / 2
                at, cost = at + (moved if action == BUY else -moved), cost + moved
            if abs(at - share) <= INNER * band:
                costs.append(cost)
    spent = sum(abs(after[0] - before[0]) for before, after in pairwise(rows))
    assert spent <= min(costs) + 1e-9


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 20_000), st.floats(0, 3), st.booleans()), min_size=1, max_size=9), FRACTIONS)
def test_many_accounts_at_once_are_as_many_single_ones(
    accounts: list[tuple[float, float, bool]], fraction: float
) -> None:
    rules, mix, now = Rules(trade_fraction=fraction), Mix(0.5, 0.15), candle(5, 7_000.0)
    balance, stocks, memory = (np.array(column, dtype=np.float64) for column in zip(*accounts, strict=True))
    together = mix.step(Observation(now, None, balance, stocks, rules), memory[:, None])
    for n, (money, coins, returning) in enumerate(accounts):
        alone = mix.step(Observation(now, None, money, coins, rules), np.array([float(returning)]))
        assert together.probabilities[n].tolist() == alone.probabilities.tolist()
        assert together.memory[n].tolist() == alone.memory.tolist()


def test_it_wants_nothing_that_the_account_refuses() -> None:
    poor = Rules(initial_balance=1.5, initial_stocks=0.0)
    for balance, stocks in ((1.5, 0.0), (0.0, 0.0001), (0.0, 0.0)):
        output = Mix(0.5, 0.15).step(Observation(candle(0, 100.0), None, balance, stocks, poor), np.zeros(1))
        assert output.probabilities.tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(("at", "actions"), [(0.66, [BUY, BUY, SELL]), (0.30, [SELL, BUY])])
def test_a_return_is_this(at: float, actions: list[int]) -> None:
    rows = walk(Mix(0.5, 0.15), FREE._replace(commission=0.0), at, [100.0] * 6)
    assert [action for _, action in rows if action] == actions
