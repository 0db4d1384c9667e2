"""The trading rule: the article's numbers, an array with the bits of its elements, and nothing out of thin air."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.market import MarketLimits
from bot.model import BUY, HOLD, SELL
from bot.trading import AccountTerms, Quote, Rules, account_value, execute, fill_price, hold_value_at, trade

ARTICLE = Rules()
money = st.floats(0, 1e9)
coins = st.floats(0, 1e6)
price = st.floats(1e-3, 1e7)
action = st.sampled_from([HOLD, BUY, SELL])
limits = st.builds(
    MarketLimits, st.floats(0, 0.01), st.floats(0, 20), st.sampled_from([0.0, 1e-18, 1e-8, 1e-05, 0.01, 0.25, 1.0, 3.0])
)
rules = st.builds(
    Rules, money, coins, st.floats(0, 0.99), st.floats(0.001, 1), st.floats(0, 100), st.floats(0, 0.1),
    st.none() | limits,
)  # fmt: skip


def test_the_articles_numbers() -> None:
    """Half of 10,000 dollars at 8,000, then half of the coins at 9,000, at a commission of 0.075 %."""
    bought = trade(BUY, 10_000.0, 1.0, 8_000.0, ARTICLE)
    assert bought == (5_000.0, 1.0 + 0.99925 * 5_000.0 / 8_000.0, 5_000.0, 0.0)
    assert bought.stocks == 1.62453125
    sold = trade(SELL, bought.balance, bought.stocks, 9_000.0, ARTICLE)
    assert sold == (5_000.0 + 0.99925 * 0.812265625 * 9_000.0, 0.812265625, 0.0, 0.812265625)
    assert trade(HOLD, 10_000.0, 1.0, 8_000.0, ARTICLE) == (10_000.0, 1.0, 0.0, 0.0)
    assert account_value(5_000.0, 1.62453125, 8_000.0) == 17_996.25
    assert hold_value_at(8_000.0, ARTICLE) == 18_000.0


@pytest.mark.parametrize(
    ("what", "balance", "stocks", "done"),
    [
        (BUY, 2.0, 0.0, False), (BUY, 2.0000001, 0.0, True), (BUY, 0.0, 5.0, False),
        (SELL, 0.0, 0.0002, False), (SELL, 0.0, 0.00020001, True), (SELL, 5.0, 0.0, False),
    ],
)  # fmt: skip
def test_no_more_than_the_minimum_is_not_traded(what: int, balance: float, stocks: float, done: bool) -> None:
    after = trade(what, balance, stocks, 100.0, ARTICLE)
    assert (after[:2] != (balance, stocks)) == done
    assert bool(after.spent or after.sold) == done


@given(action, money, coins, price, rules)
def test_value_is_kept_but_for_the_commission(a: int, balance: float, stocks: float, at: float, r: Rules) -> None:
    after = trade(a, balance, stocks, at, r)
    before_value, after_value = account_value(balance, stocks, at), account_value(after.balance, after.stocks, at)
    fee = r.commission * (after.spent + after.sold * at)
    assert after_value == pytest.approx(before_value - fee, rel=1e-12, abs=1e-9)
    assert after.balance >= 0
    assert after.stocks >= 0
    if r.limits is None:
        assert after.spent == (r.trade_fraction * balance if after.spent else 0)
        assert after.sold == (r.trade_fraction * stocks if after.sold else 0)
    assert not (after.spent and after.sold)
    if a == HOLD:
        assert after[:2] == (balance, stocks)


@given(st.sampled_from([BUY, SELL]), money, coins, price, rules, limits)
def test_orders_are_whole_steps_and_no_smaller_than_the_exchange_takes(
    a: int, balance: float, stocks: float, at: float, r: Rules, known: MarketLimits
) -> None:
    own, kept = (trade(a, balance, stocks, at, r._replace(limits=which)) for which in (None, known))
    free = own.spent / at if a == BUY else own.sold
    ordered = kept.spent / at if a == BUY else kept.sold
    assert kept.spent <= own.spent
    assert kept.sold <= own.sold
    if ordered:
        last_bits = 1e-12 * ordered
        assert ordered >= known.min_amount - last_bits
        assert ordered * at >= known.min_cost * (1 - 1e-12)
        assert free - ordered <= known.amount_step + last_bits
        if known.amount_step > last_bits:
            assert abs(ordered / known.amount_step - round(ordered / known.amount_step)) < 1e-3
    elif free:
        small = known.amount_step + 1e-12 * free
        assert (
            free - small < known.min_amount
            or (free - small) * at < known.min_cost * (1 + 1e-12)
            or (free - small) * at <= r.min_buy_value * (1 + 1e-12)
            or free - small <= r.min_sell_amount
        )


@pytest.mark.parametrize(("coins_held", "sold"), [(1.0, 0.5), (0.58, 0.29), (0.6, 0.3), (0.59, 0.29), (0.018, 0.0)])
def test_half_of_whole_steps_is_not_one_step_too_few(coins_held: float, sold: float) -> None:
    hundredths = ARTICLE._replace(limits=MarketLimits(0.0, 0.0, 0.01))
    assert trade(SELL, 0.0, coins_held, 100.0, hundredths).sold == pytest.approx(sold, abs=1e-15)


@given(st.lists(st.tuples(action, money, coins, price), min_size=1, max_size=30), rules)
def test_an_array_gives_the_bits_of_its_elements(cases: Sequence[tuple[int, float, float, float]], r: Rules) -> None:
    together = trade(*map(np.array, zip(*cases, strict=True)), r)
    for number, case in enumerate(cases):
        assert tuple(column[number] for column in together) == trade(*case, r)


@given(st.lists(action, max_size=60), st.lists(price, min_size=60, max_size=60))
def test_a_run_of_trades_is_the_articles_loop(actions: list[int], prices: list[float]) -> None:
    balance, stocks = 10_000.0, 1.0
    mine = (balance, stocks)
    for a, at in zip(actions, prices, strict=False):
        if a == 1:
            x = 0.5 * balance
            if x > 1:
                balance -= x
                stocks += (1 - 0.00075) * x / at
        elif a == 2:
            x = 0.5 * stocks
            if x > 0.0001:
                stocks -= x
                balance += (1 - 0.00075) * x * at
        mine = trade(a, *mine, at, ARTICLE)[:2]
    assert mine == (balance, stocks)


def test_a_market_tells_the_length_of_its_bars() -> None:
    assert AccountTerms("main", "kraken:BTC/USD:15m").bar == 900
    assert AccountTerms("main", "x:BTC/USD:USD:1d").bar == 86400


quotes = st.none() | st.tuples(price, price).map(lambda pair: Quote(min(pair), max(pair)))


@given(action, money, coins, price, quotes, st.floats(0, 500), rules)
def test_an_execution_is_the_trade_at_the_worse_price(
    a: int, balance: float, stocks: float, close: float, quote: Quote | None, slippage: float, r: Rules
) -> None:
    ask, bid = (quote.ask, quote.bid) if quote else (close, close)
    worse = {HOLD: close, BUY: ask * (1 + slippage / 10_000), SELL: bid * (1 - slippage / 10_000)}
    done = trade(a, balance, stocks, worse[a], r)
    execution = execute(a, balance, stocks, close, r, slippage, quote)
    traded = bool(done.spent or done.sold)
    assert fill_price(a, close, quote, slippage) == worse[a]
    assert execution.price == (worse[a] if traded else close)
    assert execution[3:5] == done[:2]
    assert (execution.action, execution.refused) == (a if traded else HOLD, not traded and a != HOLD)
    assert execution.cost == (done.spent if a == BUY else done.sold * worse[a])
    assert execution.amount == ((1 - r.commission) * done.spent / worse[a] if a == BUY else done.sold)
    assert execution.commission == r.commission * execution.cost


@given(
    st.lists(st.tuples(action, money, coins, price, price, price), min_size=1, max_size=30),
    st.floats(0, 500),
    rules,
    st.booleans(),
)
def test_executions_of_many_accounts_have_the_bits_of_each(
    cases: list[tuple[int, float, float, float, float, float]],
    slippage: float,
    r: Rules,
    quoted: bool,
) -> None:
    a, balance, stocks, close, bid, ask = map(np.array, zip(*cases, strict=True))
    together = execute(a, balance, stocks, close, r, slippage, Quote(bid, ask) if quoted else None)
    for number, case in enumerate(cases):
        quote = Quote(case[4], case[5]) if quoted else None
        assert tuple(column[number] for column in together) == execute(*case[:4], r, slippage, quote)
