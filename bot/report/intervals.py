"""How sure a figure is: block bootstraps over bars, over the same hours of several markets, and over draws."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.model import Array

RESAMPLES: Final = 2000
LEVEL: Final = 0.95
_FEWEST_FOR_BLOCKS: Final = 30
_MOST: Final = 5_000  # bars that are resampled; more are added up to fewer first


class Interval(NamedTuple):
    """A total with its 95 % percentile interval, the standard deviation of the resampled totals, and what that covers:
    what the `hours` may bring, and what the `draws` may where there are several.
    """

    value: float
    low: float
    high: float
    deviation: float
    covers: tuple[str, ...] = ("hours",)

    def figures(self) -> dict[str, Any]:
        """`value`, `ci95` and `covers`, as commands print them."""
        return {"value": self.value, "ci95": [self.low, self.high], "covers": list(self.covers)}


def block_length(series: Array) -> float:
    """Mean length of blocks for the stationary bootstrap of a series (n,): Politis and White (2004) as corrected by
    Patton, Politis and White (2009), at least 1 and at most half of the series; 1 for fewer than 30 numbers.
    """
    n = len(series)
    spread = series - series.mean()
    if n < _FEWEST_FOR_BLOCKS or not spread.any():
        return 1.0
    at_once = max(5, int(np.log10(n)))
    most = int(np.ceil(np.sqrt(n))) + at_once
    covariances = np.array([spread[lag:] @ spread[: n - lag] for lag in range(most + 1)]) / n
    squares = np.concatenate([[0.0], np.cumsum(spread**2)])
    lags = np.arange(1, most + 2)
    scales = np.sqrt((squares[-1] - squares[lags]) * squares[n - lags]) / n
    small = np.abs(covariances) < 2 * np.sqrt(np.log10(n) / n) * scales
    quiet = (lag for lag in range(most + 1 - at_once) if small[lag : lag + at_once].all())
    cut = next(quiet, None)
    last = most if cut is None else min(2 * max(cut, 1), most)
    k = np.arange(1, last + 1)
    weights = np.where(k / last <= 0.5, 1.0, 2 * (1 - k / last)) * covariances[1 : last + 1]
    long_run = covariances[0] + 2 * weights.sum()
    if long_run == 0:
        return 1.0
    slope = 2 * (weights * k).sum()
    length = np.cbrt((slope / long_run) ** 2 * n)
    return float(np.clip(min(length, np.ceil(min(3 * np.sqrt(n), n / 3))), 1.0, n / 2))


def resampled_sums(series: Array, block: float, resamples: int, chance: np.random.Generator) -> Array:
    """Sums over n bars of `resamples` stationary bootstraps (Politis and Romano 1994) of a series (n, k), (resamples,
    k): blocks start anywhere, run on over the end to the beginning, and have geometric lengths of mean `block`.
    """
    n = len(series)
    running = np.concatenate([np.zeros((1, series.shape[1])), np.cumsum(np.concatenate([series, series]), axis=0)])
    enough = int(n / block + 10 * np.sqrt(n / block) + 20)
    sums = np.empty((resamples, series.shape[1]))
    for place in range(resamples):
        ends = np.cumsum(chance.geometric(1 / block, enough))
        blocks = int(np.searchsorted(ends, n)) + 1
        lengths = np.diff(np.minimum(ends[:blocks], n), prepend=0)
        starts = chance.integers(n, size=len(lengths))
        sums[place] = (running[starts + lengths] - running[starts]).sum(0)
    return sums


def total_interval(series: Array, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The total of D series of n bars (n, D), the mean over D, resampled over bars and over the D draws: the same bars
    in all of them, with the block length of their mean.

    The interval covers what the market may do and what the draws do; of one draw it covers the market alone. It has
    no width where there are fewer than three bars or nothing varies. Of more than 5,000 bars, neighbours are first
    added up in equal groups to no more than that.
    """
    series = np.add.reduceat(series, np.arange(0, len(series), -(-len(series) // _MOST)), axis=0)
    mean = series.mean(1)
    total = float(mean.sum())
    covers = ("hours", "draws") if series.shape[1] > 1 else ("hours",)
    if len(mean) < 3 or (series.std(0) <= 1e-12).all():
        return Interval(total, total, total, 0.0, covers)
    chance = np.random.default_rng(seed)
    sums = resampled_sums(series, block_length(mean), resamples, chance)
    draws = chance.integers(series.shape[1], size=sums.shape)
    totals = np.take_along_axis(sums, draws, 1).mean(1)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(totals, [tail, 100 - tail])
    return Interval(total, float(low), float(high), float(totals.std()), covers)


def align(times: Sequence[NDArray[np.int64]], series: Sequence[Array]) -> tuple[NDArray[np.int64], Array]:
    """Series (n_i, D) of several markets at their `times` (n_i,), on the same hours: the times of any of them (hours,),
    and an array (hours, markets, D) that is NaN where a market has no such hour.
    """
    hours: NDArray[np.int64] = np.unique(np.concatenate(times))
    together = np.full((len(hours), len(series), series[0].shape[1]), np.nan)
    for market, (mine, values) in enumerate(zip(times, series, strict=True)):
        together[np.searchsorted(hours, mine), market] = values
    return hours, together


def pooled(together: Array) -> Array:
    """The pool of several markets, (hours, D), from (hours, markets, D): in each hour the mean of the markets that have
    it, so that their total is that of an equal part in each.
    """
    present = ~np.isnan(together)
    counts = present.sum(1)
    means: Array = np.where(present, together, 0.0).sum(1) / np.maximum(counts, 1)
    return means


def pooled_interval(together: Array, seed: int = 0) -> Interval:
    """The total of the pool of (hours, markets, D), with an interval that resamples the same hours in all markets
    together, since what moves one moves the others, and the draws.
    """
    return total_interval(pooled(together), seed)
