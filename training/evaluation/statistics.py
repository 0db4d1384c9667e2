"""What a series of values says: return, Sharpe ratio, drawdown, and how sure that is."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from bot.model import Array

HOURS_A_YEAR: Final = 8760
RESAMPLES: Final = 2000
LEVEL: Final = 0.95
_FEWEST_FOR_BLOCKS: Final = 30


def log_returns(values: Array) -> Array:
    """Natural logarithms of the changes of values (n, R), bar by bar: (n - 1, R)."""
    returns: Array = np.diff(np.log(values), axis=0)
    return returns


def sharpe(values: Array, bars_a_year: float = HOURS_A_YEAR) -> float:
    """Sharpe ratio of values (n, R): mean over standard deviation of the bars' simple returns, times the root of the
    bars in a year (8,760 for hours); no risk-free rate. Mean of the runs, 0 where nothing moves (Sharpe 1994).
    """
    returns = values[1:] / values[:-1] - 1
    deviation = returns.std(0)
    ratios = np.where(deviation > 0, returns.mean(0) / np.where(deviation > 0, deviation, 1), 0.0)
    return float(ratios.mean() * np.sqrt(bars_a_year))


def drawdowns(values: Array) -> Array:
    """How far each value lies below the highest before it, as a part of that: (n, R), 0 or more."""
    below: Array = 1 - values / np.maximum.accumulate(values, axis=0)
    return below


def summary(values: Array, bars_a_year: float = HOURS_A_YEAR) -> dict[str, float]:
    """`log_return` (total over the span), `sharpe` and `max_drawdown` of values (n, R), each the mean of the runs."""
    return {
        "log_return": float(log_returns(values).sum(0).mean()),
        "sharpe": sharpe(values, bars_a_year),
        "max_drawdown": float(drawdowns(values).max(0).mean()),
    }


def difference(values: Array, others: Array, seed: int = 0) -> dict[str, float | Sequence[float]]:
    """How much more log return `values` (n, R) made than `others` (n, S), total over the span, and how sure that is.

    `ci95` is the percentile interval of 2,000 resamples by the stationary block bootstrap (Politis and Romano 1994) of
    the bars' differences, each the mean of the runs, with the block length of Politis and White (2004), 1 for fewer
    than 30 bars. It covers what the market may do, not what the draws do.
    """
    from arch.bootstrap import StationaryBootstrap, optimal_block_length  # noqa: PLC0415 - an extra, and slow to load

    gains = log_returns(values).mean(1) - log_returns(others).mean(1)
    total = float(gains.sum())
    if len(gains) < 3 or gains.std() <= 1e-12:
        return {"value": total, "ci95": [total, total]}
    block = 1.0
    if len(gains) >= _FEWEST_FOR_BLOCKS:
        with np.errstate(divide="ignore", invalid="ignore"):  # of a series almost without variance it makes 0 / 0
            found = float(optimal_block_length(gains)["stationary"].iloc[0])
        block = min(max(found, 1.0), len(gains) / 2) if np.isfinite(found) else 1.0
    bootstrap = StationaryBootstrap(round(block), gains, seed=seed)
    totals = bootstrap.apply(np.sum, RESAMPLES)[:, 0]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(totals, [tail, 100 - tail])
    return {"value": total, "ci95": [float(low), float(high)]}
