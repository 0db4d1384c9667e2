"""Statistics of series of values with known answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bot.report import drawdowns
from training.evaluation.statistics import difference, log_returns, sharpe, summary

SERIES = arrays(np.float64, (12, 2), elements=st.floats(0.5, 2.0))


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def test_summary_of_a_series_by_hand() -> None:
    result = summary(column(100, 110, 55, 66, 132))
    assert result["log_return"] == pytest.approx(np.log(1.32))
    assert result["max_drawdown"] == pytest.approx(0.5)
    returns = [0.1, -0.5, 0.2, 1.0]
    assert result["sharpe"] == pytest.approx(np.mean(returns) / np.std(returns) * 8760**0.5)


def test_runs_are_averaged() -> None:
    one, other = column(100, 200, 50), column(100, 50, 75)
    both = summary(np.hstack([one, other]))
    for name in both:
        assert both[name] == pytest.approx((summary(one)[name] + summary(other)[name]) / 2)


def test_nothing_that_moves_has_no_ratio() -> None:
    assert summary(column(5, 5, 5)) == {"log_return": 0, "sharpe": 0, "max_drawdown": 0}
    assert sharpe(column(1, 2)) == 0


def test_bars_of_a_day_are_annualised_as_days() -> None:
    values = column(1, 1.1, 1.0, 1.2)
    assert sharpe(values, 365) == pytest.approx(sharpe(values) * (365 / 8760) ** 0.5)


@given(SERIES)
def test_returns_add_up_and_drawdowns_are_parts(values: np.ndarray) -> None:
    np.testing.assert_allclose(log_returns(values).sum(0), np.log(values[-1] / values[0]), atol=1e-12)
    below = drawdowns(values)
    assert (below >= 0).all()
    assert (below < 1).all()
    naive = [max(1 - values[j, 0] / values[i, 0] for i in range(j + 1)) for j in range(12)]
    np.testing.assert_allclose(below[:, 0], naive, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(SERIES, SERIES)
def test_the_difference_is_of_the_totals_and_turns_with_its_sides(one: np.ndarray, other: np.ndarray) -> None:
    there, back = difference(one, other), difference(other, one)
    mean = np.log(one[-1] / one[0]).mean() - np.log(other[-1] / other[0]).mean()
    assert there["value"] == pytest.approx(mean, abs=1e-12)
    assert back["value"] == pytest.approx(-mean, abs=1e-12)
    low, high = there["ci95"]
    assert low <= high


def test_no_difference_is_certain() -> None:
    values = np.exp(np.random.default_rng(0).normal(0, 0.01, (300, 1)).cumsum(0))
    assert difference(values, values) == {"value": 0, "ci95": [0, 0], "covers": ["hours"]}
    assert difference(values[:3], values[:3] * [[1], [1], [2]])["ci95"] == pytest.approx([-np.log(2)] * 2)


@pytest.mark.parametrize("bars", [4, 12, 31, 500])
def test_a_single_jump_has_an_interval(bars: int) -> None:
    """One hour differs, all others do not: the block length's formula has nothing to go on."""
    values = np.ones((bars, 1))
    values[bars // 2 :] = 2.0
    result = difference(values, np.ones((bars, 1)))
    low, high = result["ci95"]
    assert result["value"] == pytest.approx(np.log(2))
    assert low == 0
    assert high > np.log(2)


def test_the_interval_of_independent_returns_is_the_normal_one() -> None:
    """For n independent returns with deviation s, 95 % lie within 1.96 s sqrt(n)."""
    chance = np.random.default_rng(1)
    ours = np.exp(np.vstack([[0.0], chance.normal(0.0005, 0.01, (4000, 1))]).cumsum(0))
    result = difference(ours, np.ones_like(ours))
    low, high = result["ci95"]
    assert high - low == pytest.approx(2 * 1.96 * 0.01 * 4000**0.5, rel=0.1)
    assert (low + high) / 2 == pytest.approx(result["value"], abs=0.1)
    assert difference(ours, np.ones_like(ours)) == result


def test_the_interval_of_returns_that_last_is_wider() -> None:
    """An AR(1) with 0.8 has a long-run deviation five times that of its shocks: blocks see it, single hours do not."""
    chance = np.random.default_rng(2)
    returns = np.zeros(4000)
    for n, shock in enumerate(chance.normal(0, 0.01, 3999), 1):
        returns[n] = 0.8 * returns[n - 1] + shock
    values = np.exp(returns.cumsum())[:, None]
    low, high = difference(values, np.ones_like(values))["ci95"]
    assert high - low == pytest.approx(2 * 1.96 * 0.05 * 4000**0.5, rel=0.2)


def test_the_interval_of_several_runs_covers_their_draws() -> None:
    chance = np.random.default_rng(2)
    steps = chance.normal(0.0, 1e-6, (400, 1)) + chance.normal(0.0, 0.01, 25) / 400  # runs that differ, on sure hours
    values = np.exp(np.concatenate([np.zeros((1, 25)), steps.cumsum(0)]))
    result = difference(values, np.ones((401, 1)))
    finals = np.log(values[-1])
    half = 1.96 * finals.std() / np.sqrt(25)
    assert result["covers"] == ["hours", "draws"]
    assert result["value"] == pytest.approx(finals.mean())
    assert np.subtract(*result["ci95"][::-1]) == pytest.approx(2 * half, rel=0.15)
    alone = difference(values[:, :1], np.ones((401, 1)))
    assert alone["covers"] == ["hours"]
    assert np.subtract(*alone["ci95"][::-1]) < half
