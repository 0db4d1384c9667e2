"""What a series of values says: return, Sharpe ratio, drawdown, and how sure that is."""

from typing import Any, Final

import numpy as np

from bot.model import Array
from bot.report import drawdowns, total_interval

HOURS_A_YEAR: Final = 8760


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
    """How much more log return `values` (n, R) made than `others` (n, S), total over the span and mean of the runs, and
    how sure that is over bars and runs: `value`, `ci95` and `covers`, as in `bot.report.total_interval`.
    """
    gains = log_returns(values) - log_returns(others).mean(1, keepdims=True)
    return total_interval(gains, seed).figures()
