"""What a series of values says: return, Sharpe ratio, drawdown, and how sure that is."""

from typing import Any, Final

import numpy as np
from arch.bootstrap import StationaryBootstrap, optimal_block_length

from bot.model import Array
from bot.report import drawdowns

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


def summary(values: Array, bars_a_year: float = HOURS_A_YEAR) -> dict[str, float]:
    """`log_return` (total over the span), `sharpe` and `max_drawdown` of values (n, R), each the mean of the runs."""
    return {
        "log_return": float(log_returns(values).sum(0).mean()),
        "sharpe": sharpe(values, bars_a_year),
        "max_drawdown": float(drawdowns(values).max(0).mean()),
    }


def difference(values: Array, others: Array, seed: int = 0) -> dict[str, Any]:
    """How much more log return `values` (n, R) made than `others` (n, S), total over the span, and how sure that is.

    `value` is the mean of the runs. `ci95` is the percentile interval of 2,000 resamples: of the bars by the stationary
    block bootstrap (Politis and Romano 1994), with the block length of Politis and White (2004) for the mean of the
    runs, 1 for fewer than 30 bars; and of the R runs, with replacement. `covers` says what that is: what the hours may
    bring, and what the draws of the runs may where there are several.
    """
    gains = log_returns(values) - log_returns(others).mean(1, keepdims=True)
    runs = gains.shape[1]
    total = float(gains.sum(0).mean())
    covers = ["hours", "draws"] if runs > 1 else ["hours"]
    if len(gains) < 3 or gains.std() <= 1e-12:
        return {"value": total, "ci95": [total, total], "covers": covers}
    bars = np.arange(len(gains))
    bootstrap = StationaryBootstrap(_block_length(gains.mean(1)), bars, seed=seed)
    totals = bootstrap.apply(lambda drawn: np.bincount(drawn, minlength=len(bars)) @ gains, RESAMPLES)
    chosen = np.random.default_rng(seed).integers(runs, size=(RESAMPLES, runs))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(np.take_along_axis(totals, chosen, axis=1).mean(1), [tail, 100 - tail])
    return {"value": total, "ci95": [float(low), float(high)], "covers": covers}


def _block_length(gains: Array) -> int:
    if len(gains) < _FEWEST_FOR_BLOCKS or gains.std() <= 1e-12:
        return 1
    with np.errstate(divide="ignore", invalid="ignore"):  # of a series almost without variance it makes 0 / 0
        found = float(optimal_block_length(gains)["stationary"].iloc[0])
    return round(min(max(found, 1.0), len(gains) / 2)) if np.isfinite(found) else 1
