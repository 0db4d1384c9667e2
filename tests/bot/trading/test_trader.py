"""One bar as a pure function: the action by the draw, the price with slippage, the fill, and what is carried on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import ExchangeError, ModelError
from bot.market import Candle
from bot.model import choose, draw
from bot.model.features import RETURNS
from bot.simulator import generate_candles
from bot.trading import (
    CLOCK,
    MINIMUM,
    MISSED,
    POLICY,
    SYNTHETIC,
    AccountTerms,
    Quote,
    Rules,
    State,
    Trader,
    dry_run,
    trade,
)
from tests.harness import MARKET, model_of

MODEL = model_of(1)
BUYER = model_of(3, bias=(-30.0, 30.0, -30.0))
SELLER = model_of(4, bias=(-30.0, -30.0, 30.0))
CANDLES = generate_candles(200, seed=6, holes=0)
TERMS = AccountTerms("main", MARKET)


def walked(trader: Trader, candles: Sequence[Candle]) -> State:
    state = trader.start()
    for candle in candles:
        state = trader.step(state, candle).state
    return state


@pytest.mark.parametrize("mode", ["sample", "argmax"])
def test_a_step_is_the_network_the_draw_and_the_rule(mode: str) -> None:
    trader = Trader(TERMS, MODEL, mode)
    state = trader.start()
    actions = set()
    for candle in CANDLES:
        output = trader.observe(state, candle)
        p = [round(x, 6) for x in output.probabilities.tolist()]
        chance = draw(0, "main", candle.bar_time)
        action = choose(*p, chance, mode)
        done = trade(action, state.balance, state.stocks, candle.close, TERMS.rules)
        step = trader.step(state, candle)
        d = step.decision
        assert [d.p_hold, d.p_buy, d.p_sell, d.state_value] == [*p, round(float(output.value), 6)]
        assert (d.draw, d.model_id, d.mode, d.price) == (chance, MODEL.model_id, mode, candle.close)
        assert (d.balance, d.stocks) == (step.state.balance, step.state.stocks) == done[:2]
        assert d.value == d.balance + d.stocks * candle.close
        assert d.hold_value == 10_000.0 + 1.0 * candle.close
        assert (step.state.memory == output.memory).all()
        assert step.state.before == candle
        actions.add((d.action, d.reason))
        state = step.state
    assert len(actions) >= 3 or mode == "argmax"


@pytest.mark.parametrize("reason", [MISSED, SYNTHETIC, CLOCK])
def test_what_is_not_to_be_traded_on_is_observed(reason: str) -> None:
    trader = Trader(TERMS, BUYER)
    step = trader.step(trader.start(), CANDLES[0], reason)
    assert (step.decision.action, step.decision.reason, step.fill) == ("hold", reason, None)
    assert step.decision[11:13] == (10_000.0, 1.0)
    traded = trader.step(trader.start(), CANDLES[0])
    assert (step.state.memory == traded.state.memory).all()
    assert step.decision[3:9] == traded.decision[3:9]


@pytest.mark.parametrize(("quote", "ask", "bid"), [(None, None, None), (Quote(99.0, 101.0), 101.0, 99.0)])
def test_slippage_makes_every_fill_worse(quote: Quote | None, ask: float | None, bid: float | None) -> None:
    candle = CANDLES[0]
    terms = TERMS._replace(slippage_bps=10.0, fill="quote")
    bought = Trader(terms, BUYER, "argmax").step(Trader(terms, BUYER).start(), candle, POLICY, quote)
    price = (ask or candle.close) * (1 + 10.0 / 10_000)
    assert bought.fill is not None
    assert bought.fill == (candle.bar_time, "buy", price, 0.99925 * 5_000.0 / price, 5_000.0, 0.00075 * 5_000.0)
    assert bought.decision.price == price
    assert bought.decision[15:] == ((bid, ask) if quote else (None, None))
    sold = Trader(terms, SELLER, "argmax").step(Trader(terms, SELLER).start(), candle, POLICY, quote)
    price = (bid or candle.close) * (1 - 10.0 / 10_000)
    assert sold.fill == (candle.bar_time, "sell", price, 0.5, 0.5 * price, 0.00075 * (0.5 * price))
    assert sold.state.balance == 10_000.0 + 0.99925 * 0.5 * price
    assert sold.decision.value == sold.state.balance + 0.5 * candle.close


@pytest.mark.parametrize(
    ("model", "rules"), [(BUYER, Rules(initial_balance=2.0)), (SELLER, Rules(initial_stocks=0.0002))]
)
def test_what_is_too_small_is_held(model: object, rules: Rules) -> None:
    trader = Trader(TERMS._replace(rules=rules), model, "argmax")  # type: ignore[arg-type]
    step = trader.step(trader.start(), CANDLES[0], POLICY, Quote(1.0, 2.0))
    assert (step.decision.action, step.decision.reason, step.fill) == ("hold", MINIMUM, None)
    assert step.decision.price == CANDLES[0].close
    assert step.state[:2] == (rules.initial_balance, rules.initial_stocks)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 60), st.integers(1, 60))
def test_a_warm_up_with_the_holdings_is_the_walk_itself(first: int, bars: int) -> None:
    trader = Trader(TERMS, MODEL)
    candles = CANDLES[first : first + bars]
    state, holdings = trader.start(), []
    for candle in candles:
        holdings.append(state[:2])
        state = trader.step(state, candle).state
    warm = trader.warm_up(candles, holdings)
    assert (warm.memory == state.memory).all()
    assert warm.before == state.before
    assert warm[:2] == (10_000.0, 1.0)


def test_a_warm_up_of_nothing_is_the_start() -> None:
    trader = Trader(TERMS, MODEL)
    assert trader.warm_up([]).before is None
    assert not trader.warm_up([]).memory.any()


def test_a_network_that_does_not_see_the_account_is_warmed_up_by_candles_alone() -> None:
    trader = Trader(TERMS, model_of(2, RETURNS, "heads"))
    assert (trader.warm_up(CANDLES).memory == walked(trader, CANDLES).memory).all()


def test_a_step_changes_nothing_that_it_was_given() -> None:
    trader = Trader(TERMS, MODEL)
    state = trader.warm_up(CANDLES[:10])
    hidden = state.memory.copy()
    first, again = (trader.step(state, CANDLES[10]) for _ in range(2))
    assert (state.memory == hidden).all()
    assert first.decision == again.decision


def test_other_seeds_and_accounts_draw_otherwise() -> None:
    draws = [
        Trader(terms, MODEL).step(Trader(terms, MODEL).start(), CANDLES[0]).decision.draw
        for terms in (TERMS, TERMS._replace(seed=1), TERMS._replace(name="other"))
    ]
    assert len(set(draws)) == 3


def test_a_network_without_a_finite_answer_decides_nothing() -> None:
    policy = replace(MODEL.policy, networks=(replace(MODEL.policy.networks[0], heads_bias=np.full(4, np.inf)),))
    trader = Trader(TERMS, replace(MODEL, policy=policy))
    state = trader.start()
    with np.errstate(all="ignore"), pytest.raises(ExchangeError, match="for candle 1577836800"):
        trader.step(state, CANDLES[0])
    with np.errstate(all="ignore"), pytest.raises(ModelError, match="cannot decide candles of the ledger"):
        dry_run(trader.model, CANDLES[:1])
