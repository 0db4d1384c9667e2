"""Sharpe ratio and intervals are those of the libraries that define them."""

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap, optimal_block_length

from bot.report.statistics import block_length, interval, resampled_totals, sharpe


def series(n: int, memory: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=n)
    values = noise.copy()
    for place in range(1, n):
        values[place] += memory * values[place - 1]
    return values


@pytest.mark.parametrize("n", [30, 100, 3_000])
@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_block_length_is_the_one_of_arch(n: int, memory: float) -> None:
    gains = series(n, memory, seed=n)
    wanted = float(optimal_block_length(gains)["stationary"].iloc[0])
    assert block_length(gains) == round(min(max(wanted, 1.0), n / 2))


@pytest.mark.parametrize("block", [1, 8, 40])
def test_the_resamples_spread_as_those_of_arch(block: int) -> None:
    gains = series(1_000, 0.6, seed=4)
    wanted = StationaryBootstrap(block, gains, seed=0).apply(np.sum, 2_000)[:, 0]
    found = resampled_totals(gains, block, seed=0)
    assert found.mean() == pytest.approx(gains.sum(), abs=4 * wanted.std() / np.sqrt(2_000))
    assert found.std() == pytest.approx(wanted.std(), rel=0.07)


def test_every_resample_is_of_n_gains() -> None:
    assert set(resampled_totals(np.ones(37), 5, seed=1).round(9)) == {37.0}


def test_an_interval_is_around_the_difference_and_the_same_each_time() -> None:
    chance = np.random.default_rng(2)
    values = 100 * np.exp(np.cumsum(chance.normal(0.001, 0.01, 2_000)))
    low, high = interval(values, np.full(2_000, 100.0)) or (0.0, 0.0)
    assert low < np.log(values[-1] / values[0]) < high
    assert interval(values, np.full(2_000, 100.0)) == (low, high)


def test_equal_series_differ_by_nothing_and_ruin_has_no_interval() -> None:
    values = np.array([100.0, 101.0, 99.0, 100.5])
    assert interval(values, values) == (0.0, 0.0)
    assert interval(np.array([1.0, 0.0, 0.0, 0.0]), values) is None


def test_sharpe_by_hand() -> None:
    values = np.array([100.0, 110.0, 99.0, 108.9])
    returns = np.array([0.1, -0.1, 0.1])
    assert sharpe(values, 8_760) == pytest.approx(returns.mean() / returns.std() * np.sqrt(8_760))
    assert sharpe(np.full(5, 3.0), 8_760) is None
    assert sharpe(np.array([1.0, 0.0, 0.0]), 8_760) is None
