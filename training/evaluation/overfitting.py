"""What choosing among many candidates does to the best one's figures: three published corrections for it.

All are of returns bar by bar, (bars, candidates), for example log returns over the constant mix, out of sample.
"""

from collections.abc import Sequence
from itertools import combinations
from math import e, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np
from arch.bootstrap import SPA

from bot.model import Array
from bot.report import block_length

_EULER: Final = 0.5772156649015329
_NORMAL: Final = NormalDist()
_SPA_RESAMPLES: Final = 1000
_SPA_MOST: Final = 5_000


def sharpe_ratios(returns: Array) -> Array:
    """Mean over standard deviation of returns (bars, ...), not annualised; 0 where nothing varies."""
    deviation = returns.std(0)
    ratios: Array = np.where(deviation > 1e-15, returns.mean(0) / np.where(deviation > 1e-15, deviation, 1.0), 0.0)
    return ratios


def overfitting_probability(returns: Array, blocks: int = 16) -> float | None:
    """The probability of backtest overfitting of N candidates with returns (bars, N): how often the one that is best on
    half of the time is at or below the median of all on the other half.

    Combinatorially symmetric cross-validation (Bailey, Borwein, Lopez de Prado and Zhu 2017, *The Probability of
    Backtest Overfitting*): time is cut into `blocks` (an even number), every choice of half of them is once what is
    chosen by and its complement what is tested on; candidates are compared by their Sharpe ratios. Half where no
    candidate is better than another, 0 where one always is. None for fewer than two candidates or bars than blocks, or
    where the candidates do not differ.
    """
    bars, candidates = returns.shape
    if candidates < 2 or bars < blocks or np.allclose(returns, returns[:, :1], rtol=0, atol=1e-15):
        return None
    edges = np.linspace(0, bars, blocks + 1).round().astype(int)[:-1]
    sums, squares = (np.add.reduceat(values, edges, axis=0) for values in (returns, returns**2))
    counts = np.diff([*edges, bars])
    chosen = np.zeros((len(halves := list(combinations(range(blocks), blocks // 2))), blocks))
    np.put_along_axis(chosen, np.array(halves), 1.0, axis=1)

    def ratios(picked: Array) -> Array:
        count = (picked @ counts)[:, None]
        mean = picked @ sums / count
        variance = np.maximum(picked @ squares / count - mean**2, 0.0)
        return np.where(variance > 1e-30, mean / np.sqrt(np.where(variance > 1e-30, variance, 1.0)), 0.0)

    before, after = ratios(chosen), ratios(1 - chosen)
    best = np.take_along_axis(after, before.argmax(1)[:, None], 1)
    ranks = (after < best).sum(1) + ((after == best).sum(1) + 1) / 2
    return float((ranks / (candidates + 1) <= 0.5).mean())


def expected_best_sharpe(variance: float, trials: int) -> float:
    """The Sharpe ratio that the best of `trials` without skill is expected to show, whose ratios have that variance.

    Equation 1 of Bailey and Lopez de Prado (2014), *The Deflated Sharpe Ratio*; 0 for one trial.
    """
    if trials < 2:
        return 0.0
    high, higher = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * e))
    return sqrt(variance) * ((1 - _EULER) * high + _EULER * higher)


def deflated_sharpe(sharpe: float, bars: int, skewness: float, kurtosis: float, threshold: float) -> float:
    """The probability that a Sharpe ratio of `bars` returns (not annualised, as `threshold`) is more than `threshold`,
    for returns of that skewness and kurtosis (3 for a normal distribution).

    Equation 2 of Bailey and Lopez de Prado (2014); `threshold` is their SR0, from `expected_best_sharpe`.
    """
    spread = sqrt(max(1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2, 1e-12))
    return _NORMAL.cdf((sharpe - threshold) * sqrt(bars - 1) / spread)


def deflated_sharpe_of(returns: Array, trial_sharpes: Sequence[float]) -> float | None:
    """The deflated Sharpe ratio of a chosen candidate's returns (bars,), among all trials with those Sharpe ratios (not
    annualised, the chosen one's among them). None where the returns do not vary.
    """
    deviation = float(returns.std())
    if len(returns) < 3 or deviation <= 1e-15:
        return None
    scores = (returns - returns.mean()) / deviation
    variance = float(np.var(trial_sharpes, ddof=1)) if len(trial_sharpes) > 1 else 0.0
    threshold = expected_best_sharpe(variance, len(trial_sharpes))
    moments = float((scores**3).mean()), float((scores**4).mean())
    return deflated_sharpe(float(returns.mean()) / deviation, len(returns), *moments, threshold)


def superior_predictive_ability(baseline: Array, candidates: Array) -> float | None:
    """The p-value of Hansen's (2005) test for superior predictive ability: how likely the best of the candidates'
    returns (bars, N) is as far above the baseline's (bars,) where none is truly better. None where nothing differs.

    The consistent p-value of `arch.bootstrap.SPA`, by the stationary bootstrap. Of more than 5,000 bars, neighbours
    are first added up in equal groups to no more than that.
    """
    size = -(-len(baseline) // _SPA_MOST)
    edges = np.arange(0, len(baseline), size)
    gains = np.add.reduceat(candidates - baseline[:, None], edges, axis=0)
    gains = gains[:, gains.std(0) > 1e-15]
    if not gains.shape[1] or len(gains) < 3:
        return None
    block = max(round(block_length(gains[:, place])) for place in range(gains.shape[1]))
    test = SPA(np.zeros(len(gains)), -gains, block_size=block, reps=_SPA_RESAMPLES, seed=0)
    test.compute()
    return float(test.pvalues["consistent"])
