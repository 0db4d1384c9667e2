"""What a series of values says: return, Sharpe ratio, drawdown, and how sure a difference is."""

from math import log
from typing import Final

import numpy as np

from bot.model import Array

RESAMPLES: Final = 2000
LEVEL: Final = 0.95
_TINY: Final = float(np.finfo(float).tiny)
_FEWEST: Final = 3
_FEWEST_FOR_BLOCKS: Final = 30
_MOST: Final = 5_000  # gains that are resampled; more are added up to fewer first


def log_return(values: Array) -> float | None:
    """Natural logarithm of last over first, None where one of them is not positive."""
    first, last = float(values[0]), float(values[-1])
    return log(last / first) if first > 0 and last > 0 else None


def drawdowns(values: Array) -> Array:
    """How far each value lies below the highest before it, as a part of that: (n,), 0 or more."""
    below: Array = 1 - values / np.maximum(np.maximum.accumulate(values), _TINY)
    return below


def sharpe(values: Array, bars_a_year: float) -> float | None:
    """Sharpe ratio of values (n,): mean over standard deviation of the bars' simple returns, times the root of the bars
    in a year; no risk-free rate (Sharpe 1994). None where nothing moves or a value is not positive.
    """
    if len(values) < _FEWEST or values.min() <= 0:
        return None
    returns = values[1:] / values[:-1] - 1
    deviation = float(returns.std())
    return float(returns.mean() / deviation * np.sqrt(bars_a_year)) if deviation > 0 else None


def interval(values: Array, others: Array, seed: int = 0) -> tuple[float, float] | None:
    """The 95 % interval of how much more log return `values` (n,) made than `others` (n,), total over the span.

    The percentile interval of 2,000 resamples by the stationary block bootstrap (Politis and Romano 1994) of the bars'
    differences, with the block length of Politis and White (2004, corrected 2009). Of more than 5,000 bars, the
    differences are first added up in equal groups to no more than that. It covers what the market may do, not what the
    draws do. None where a value is not positive.
    """
    if values.min() <= 0 or others.min() <= 0:
        return None
    gains = np.diff(np.log(values)) - np.diff(np.log(others))
    if len(gains) < _FEWEST or gains.std() <= 1e-12:
        return float(gains.sum()), float(gains.sum())
    size = -(-len(gains) // _MOST)
    gains = np.add.reduceat(gains, np.arange(0, len(gains), size))
    totals = resampled_totals(gains, block_length(gains), seed)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(totals, [tail, 100 - tail])
    return float(low), float(high)


def resampled_totals(gains: Array, block: int, seed: int) -> Array:
    """Sums (RESAMPLES,) of resamples of gains (n,): stretches of geometric lengths, `block` on average, that begin
    anywhere and go on in a circle.
    """
    n = len(gains)
    before = np.concatenate([[0.0], np.cumsum(np.concatenate([gains, gains]))])
    chance = np.random.default_rng(seed)
    spare = int(n / block + 6 * np.sqrt(n / block)) + 2
    totals = np.empty(RESAMPLES)
    for place in range(RESAMPLES):
        lengths = np.minimum(chance.geometric(1 / block, spare), n)
        ends = np.cumsum(lengths)
        while ends[-1] < n:
            lengths = np.concatenate([lengths, np.minimum(chance.geometric(1 / block, spare), n)])
            ends = np.cumsum(lengths)
        stretches = int(np.searchsorted(ends, n)) + 1
        lengths = lengths[:stretches]
        lengths[-1] -= ends[stretches - 1] - n
        starts = chance.integers(n, size=stretches)
        totals[place] = (before[starts + lengths] - before[starts]).sum()
    return totals


def block_length(gains: Array) -> int:
    """The mean block length for gains (n,) by Politis and White (2004), as corrected by Patton, Politis and White
    (2009), from 1 to n / 2; 1 for fewer than 30 gains.
    """
    n = len(gains)
    if n < _FEWEST_FOR_BLOCKS:
        return 1
    x = gains - gains.mean()
    quiet = max(5, int(np.log10(n)))
    most_lags = int(np.ceil(np.sqrt(n))) + quiet
    lags = np.arange(most_lags + 1)
    products = np.array([x[lag:] @ x[: n - lag] for lag in lags])
    squares = np.concatenate([[0.0], np.cumsum(x**2)])
    scale = np.sqrt((squares[-1] - squares[lags + 1]) * squares[n - 1 - lags])
    with np.errstate(divide="ignore", invalid="ignore"):  # of a series almost without variance
        correlations = np.abs(products) / scale
    small = correlations[:most_lags] < 2 * np.sqrt(np.log10(n) / n)
    quiet_from = np.flatnonzero(np.convolve(small, np.ones(quiet), "valid") == quiet)
    m = min(2 * max(int(quiet_from[0]), 1), most_lags) if len(quiet_from) else most_lags
    k = np.arange(1, m + 1)
    weighted = np.where(k <= m / 2, 1.0, 2 * (1 - k / m)) * products[k] / n
    spectrum = products[0] / n + 2 * weighted.sum()
    slope = 2 * (k * weighted).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        length = float((slope**2 / spectrum**2 * n) ** (1 / 3))
    if not np.isfinite(length):
        return 1
    return round(max(1.0, min(length, float(np.ceil(min(3 * np.sqrt(n), n / 3))), n / 2)))
