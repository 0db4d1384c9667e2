"""Accounts over a span: the policy is the daemon's to the last bit, the baselines are what they say."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import UsageError
from bot.market import Candle, fill_gaps
from bot.model import ACTIONS, Model, rule_model
from bot.trading import POLICY, SYNTHETIC, AccountTerms, Rules, Trader, hold_value_at
from training.evaluation import Runs, evaluate_model, evaluation_statistics, hold_values, policy_runs, span_of
from training.evaluation.backtest import counts, mix_values, random_runs, turnover

Walk = Callable[..., list[Candle]]
MakeModel = Callable[..., Model]
RULES = Rules()


def lived(
    model: Model, candles: list[Candle], first: int, seed: int, mode: str, rules: Rules, slippage_bps: float = 0.0
) -> list[tuple]:
    """What the daemon's trader does, bar by bar: action, value, stocks."""
    terms = AccountTerms("main", "here:BTC/USD:1h", rules, seed=seed, slippage_bps=slippage_bps)
    trader = Trader(terms, model, mode)
    state = trader.warm_up(candles[:first])
    rows = []
    for candle in candles[first:]:
        step = trader.step(state, candle, SYNTHETIC if candle.synthetic else POLICY)
        state = step.state
        rows.append((step.decision.action, step.decision.value, step.decision.stocks))
    return rows


@pytest.mark.parametrize(
    ("features", "account_at"), [("article", "input"), ("article", "heads"), ("returns", "heads"), ("returns", "input")]
)
@pytest.mark.parametrize("mode", ["sample", "argmax"])
def test_the_policy_is_the_daemons_bit_for_bit(
    walk: Walk, make_model: MakeModel, features: str, account_at: str, mode: str
) -> None:
    candles = walk(160)
    del candles[70:73]
    model = make_model(seed=5, features=features, account_at=account_at)
    rules = RULES._replace(initial_balance=500.0, initial_stocks=2.0, commission=0.002)
    span = span_of(candles, candles[50].bar_time, None, 3600, warmup=20)
    runs = policy_runs(model, span, rules, mode, [0, 1, 9])
    run = fill_gaps(candles, 3600)[30:]
    assert span.candles == run
    assert span.first == 20
    for place, seed in enumerate([0, 1, 9]):
        rows = lived(model, run, 20, seed, mode, rules)
        assert [ACTIONS[action] for action in runs.actions[:, place]] == [row[0] for row in rows]
        assert runs.values[1:, place].tolist() == [row[1] for row in rows[1:]]
        assert runs.values[0, place] == hold_value_at(run[20].close, rules)
        assert runs.stocks[:, place].tolist() == [row[2] for row in rows]
        held = [candle.synthetic for candle in span.decided]
        assert not runs.actions[held, place].any()
    assert len({tuple(column) for column in runs.actions.T}) == (3 if mode == "sample" else 1)


@pytest.mark.parametrize("rule", ["hold", "mix?share=0.4&band=0.05", "trend?days=2", "random?turnover=3"])
def test_a_rule_runs_as_the_daemon_runs_it(walk: Walk, rule: str) -> None:
    """The same rows for one account and for three at once, and for a network and a rule the same lines."""
    model, rules = rule_model(rule), RULES._replace(initial_balance=500.0, initial_stocks=2.0)
    run = fill_gaps(walk(200), 3600)
    span = span_of(run, run[40].bar_time, None, 3600, warmup=40)
    runs = policy_runs(model, span, rules, "sample", [0, 1, 9], slippage_bps=3.0)
    for place, seed in enumerate([0, 1, 9]):
        rows = lived(model, run, 40, seed, "sample", rules, slippage_bps=3.0)
        assert [ACTIONS[action] for action in runs.actions[:, place]] == [row[0] for row in rows]
        assert runs.stocks[:, place].tolist() == [row[2] for row in rows]
    assert runs.actions.any() == (rule != "hold")


def test_traded_and_cost_are_parts_of_the_value_before(walk: Walk, make_model: MakeModel) -> None:
    span = span_of(walk(60), None, None, 3600)
    runs = policy_runs(make_model(seed=2), span, RULES, "sample", [3])
    balance, stocks = RULES.initial_balance, RULES.initial_stocks
    for n, candle in enumerate(span.decided):
        value = balance + stocks * candle.close
        after = runs.stocks[n, 0]
        moved = abs(after - stocks) * candle.close / (1 - RULES.commission if after > stocks else 1)
        assert runs.traded[n, 0] == pytest.approx(moved / value, abs=1e-12)
        balance = balance - moved if after > stocks else balance + (1 - RULES.commission) * moved
        stocks = after
        assert runs.shares[n, 0] == pytest.approx(stocks * candle.close / (balance + stocks * candle.close))
    np.testing.assert_allclose(runs.costs, RULES.commission * runs.traded, rtol=1e-12)
    assert turnover(runs) == pytest.approx(runs.traded.sum())
    assert sum(counts(runs).values()) == 60


def test_the_span_has_its_ends_where_they_were_asked_for(walk: Walk) -> None:
    candles = walk(30)
    span = span_of(candles, candles[10].bar_time, candles[20].bar_time, 3600, warmup=4)
    assert span.decided == candles[10:20]
    assert span.candles == candles[6:20]
    assert span_of(candles, candles[2].bar_time, None, 3600, warmup=4).first == 2
    with pytest.raises(UsageError, match="fewer than two"):
        span_of(candles, candles[29].bar_time, None, 3600)
    with pytest.raises(UsageError, match="fewer than two"):
        span_of(candles, None, candles[0].bar_time, 3600)


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_constant_mix_lies_between_cash_and_coins(walk: Walk, share: float, seed: int) -> None:
    span = span_of(walk(20, seed), None, None, 3600)
    closes = span.closes
    mix = mix_values(span, RULES, share)[:, 0]
    start = hold_value_at(closes[0], RULES)
    by_hand = start
    for before, after in pairwise(closes):
        by_hand = by_hand * (1 - share) + by_hand * share * after / before
    assert mix[0] == start
    assert mix[-1] == pytest.approx(by_hand, rel=1e-12)
    np.testing.assert_allclose(mix_values(span, RULES, 1.0)[:, 0], start * closes / closes[0], rtol=1e-12)
    np.testing.assert_allclose(mix_values(span, RULES, 0.0)[:, 0], start, rtol=1e-12)
    np.testing.assert_array_equal(hold_values(span, RULES)[:, 0], 10_000 + closes)


def like(actions: list[int], bars: int, traded: float) -> Runs:
    """Runs of which only what was done and how much was traded matters."""
    empty = np.zeros((bars, 1))
    return Runs(empty, empty, empty, np.full((bars, 1), traded), empty, np.resize(actions, (bars, 1)))


def test_random_trading_has_the_turnover_of_the_policy(walk: Walk, make_model: MakeModel) -> None:
    span = span_of(walk(1500), None, None, 3600)
    policy = policy_runs(make_model(seed=7), span, RULES, "sample", range(4))
    random = random_runs(span, RULES, policy)
    assert turnover(policy) > 10
    assert turnover(random) == pytest.approx(turnover(policy), rel=0.005)
    again = random_runs(span, RULES, policy)
    np.testing.assert_array_equal(random.values, again.values)


def test_random_trading_buys_and_sells_in_the_policys_proportion(walk: Walk) -> None:
    span = span_of(walk(2000), None, None, 3600)
    random = random_runs(span, RULES, like([1, 0, 1, 0, 1, 2, 0, 0], 2000, 0.05))
    assert turnover(random) == pytest.approx(100, rel=0.005)
    done = counts(random)
    assert done["buy"] / done["sell"] == pytest.approx(3, rel=0.1)


def test_random_trading_comes_as_near_as_it_can(walk: Walk) -> None:
    """No random trader of half the holdings turns over a third of the value every hour, as alternating does."""
    span = span_of(walk(400), None, None, 3600)
    random = random_runs(span, RULES, like([1, 2], 400, 1 / 3))
    assert 80 < turnover(random) < 110
    assert counts(random)["hold"] < 5


def test_who_never_trades_is_compared_with_nobody_trading(walk: Walk) -> None:
    span = span_of(walk(50), None, None, 3600)
    random = random_runs(span, RULES, like([0], 50, 0.0))
    assert turnover(random) == 0
    np.testing.assert_array_equal(random.values, np.repeat(hold_values(span, RULES), 32, axis=1))


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0, 500),
    st.floats(0, 0.05),
    st.floats(0.05, 1),
    st.floats(0, 4000),
    st.floats(0, 0.5),
    st.integers(0, 2**40),
)
def test_a_backtest_is_the_trader_whatever_fills_cost_and_minimums_are(
    walk: Walk, make_model: MakeModel, slippage: float, commission: float, fraction: float, least: float, coins: float,
    seed: int,
) -> None:  # fmt: skip
    rules = Rules(10_000.0, 1.0, commission, fraction, least, coins)
    model, span = make_model(seed=5), span_of(walk(60), None, None, 3600)
    runs = policy_runs(model, span, rules, "sample", [seed], slippage_bps=slippage)
    rows = lived(model, span.candles, 0, seed, "sample", rules, slippage)
    assert [ACTIONS[action] for action in runs.actions[:, 0]] == [row[0] for row in rows]
    assert runs.values[1:, 0].tolist() == [row[1] for row in rows[1:]]
    assert runs.stocks[:, 0].tolist() == [row[2] for row in rows]


def test_the_parts_of_the_timing_add_up_to_it(walk: Walk, make_model: MakeModel) -> None:
    span = span_of(walk(400), None, None, 3600)
    done = evaluate_model(make_model(seed=5), span, runs=3, slippage_bps=20.0)
    result = evaluation_statistics(done)
    parts = result["timing_parts"]
    assert sum(parts.values()) == pytest.approx(result["timing_log_return"]["value"], abs=1e-12)
    assert parts["cost"] < 0
    assert -parts["cost"] == pytest.approx(result["cost"], rel=0.02)
    free = evaluation_statistics(evaluate_model(make_model(seed=5), span, runs=3, rules=RULES._replace(commission=0.0)))
    assert free["timing_parts"]["cost"] == pytest.approx(0.0, abs=1e-12)
