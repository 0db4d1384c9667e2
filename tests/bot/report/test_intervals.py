"""Block bootstraps with known answers, held to the library `arch`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.report.intervals import (
    Interval,
    align,
    block_length,
    pooled,
    pooled_interval,
    resampled_sums,
    total_interval,
)

arch = pytest.importorskip("arch.bootstrap")


def persistent(n: int, strength: float, seed: int) -> np.ndarray:
    """An autoregression of order one."""
    shocks = np.random.default_rng(seed).normal(size=n)
    series = shocks.copy()
    for t in range(1, n):
        series[t] += strength * series[t - 1]
    return series


@settings(max_examples=40, deadline=None)
@given(st.integers(30, 800), st.floats(-0.9, 0.95), st.integers(0, 2**32))
def test_the_block_length_is_that_of_arch(n: int, strength: float, seed: int) -> None:
    series = persistent(n, strength, seed)
    theirs = float(arch.optimal_block_length(series)["stationary"].iloc[0])
    assert block_length(series) == pytest.approx(min(max(theirs, 1.0), n / 2), rel=1e-9)


@pytest.mark.parametrize(
    "series", [np.ones(50), np.zeros(50), np.arange(10.0), np.repeat([0.0, 1.0, 0.0], [60, 1, 60])]
)
def test_series_that_say_little_have_a_block_length(series: np.ndarray) -> None:
    assert 1 <= block_length(series) <= max(len(series) / 2, 1)


@pytest.mark.parametrize("block", [1.0, 7.0])
def test_resampled_sums_spread_as_those_of_arch(block: float) -> None:
    series = persistent(900, 0.5, 3)
    ours = resampled_sums(series[:, None], block, 4000, np.random.default_rng(0))[:, 0]
    theirs = arch.StationaryBootstrap(int(block), series, seed=1).apply(np.sum, 4000)[:, 0]
    assert ours.mean() == pytest.approx(theirs.mean(), abs=4 * theirs.std() / 4000**0.5)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.06)


def test_every_resample_has_as_many_bars_as_the_series() -> None:
    for block in (1.0, 3.5, 400.0):
        sums = resampled_sums(np.ones((777, 2)), block, 50, np.random.default_rng(0))
        np.testing.assert_array_equal(sums, np.full((50, 2), 777.0))


def test_hours_that_markets_share_are_resampled_together() -> None:
    """Twelve copies of one market are as sure as one; twelve independent ones are sure by the root of twelve."""
    chance = np.random.default_rng(5)
    one = chance.normal(size=(3000, 1, 1))
    alone = pooled_interval(one)
    assert pooled_interval(np.repeat(one, 12, axis=1))[:4] == pytest.approx(alone[:4])
    apart = pooled_interval(chance.normal(size=(3000, 12, 1)))
    assert apart.deviation == pytest.approx(alone.deviation / 12**0.5, rel=0.1)


def test_draws_that_differ_widen_the_interval() -> None:
    """The mean of D totals that differ by s has a deviation of s / root(D) beside what the hours give."""
    chance = np.random.default_rng(6)
    drift = chance.normal(0, 0.05, (1, 16))
    together = chance.normal(0, 0.1, (2000, 1)) + drift
    told = total_interval(together)
    hours, draws = 0.1 * 2000**0.5, 2000 * drift.std() / 16**0.5
    assert told.deviation == pytest.approx((hours**2 + draws**2) ** 0.5, rel=0.1)
    assert told.low < told.value < told.high


def test_long_series_are_as_sure_as_short_ones_of_the_same_hours() -> None:
    chance = np.random.default_rng(7)
    told = total_interval(chance.normal(0, 1, (23_456, 1)))
    assert told.deviation == pytest.approx(23_456**0.5, rel=0.06)


def test_what_does_not_vary_is_certain() -> None:
    assert total_interval(np.full((100, 3), 0.5)) == Interval(50, 50, 50, 0, ("hours", "draws"))
    assert total_interval(np.array([[1.0], [2.0]])) == Interval(3, 3, 3, 0)
    assert Interval(1.0, 0.5, 2.0, 0.1).figures() == {"value": 1.0, "ci95": [0.5, 2.0], "covers": ["hours"]}


def test_markets_are_put_on_the_same_hours() -> None:
    hours, together = align(
        [np.array([1, 2, 3]), np.array([3, 4])], [np.array([[1.0], [2.0], [3.0]]), np.array([[5.0], [6.0]])]
    )
    assert hours.tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(together[:, 0, 0], [1, 2, 3, np.nan])
    np.testing.assert_array_equal(together[:, 1, 0], [np.nan, np.nan, 5, 6])
    assert pooled(together)[:, 0].tolist() == [1, 2, 4, 6]
    assert pooled_interval(together).value == 13
