"""What a series of values says: return, Sharpe ratio, drawdown, and how sure that is."""

from typing import Any

import numpy as np

from bot import report
from bot.model import Array
from bot.report import HOURS_A_YEAR, drawdowns, log_returns, total_interval


def sharpe(values: Array, yearly: float = HOURS_A_YEAR) -> float:
    """Sharpe ratio of values (n, R) as in `bot.report.sharpe`, for `yearly` bars a year: the mean of the runs, 0 where
    nothing moves.
    """
    return float(np.mean([report.sharpe(column, yearly) or 0.0 for column in values.T]))


def summary(values: Array, yearly: float = HOURS_A_YEAR) -> dict[str, float]:
    """`log_return` (total over the span), `sharpe` and `max_drawdown` of values (n, R), each the mean of the runs."""
    return {
        "log_return": float(log_returns(values).sum(0).mean()),
        "sharpe": sharpe(values, yearly),
        "max_drawdown": float(drawdowns(values).max(0).mean()),
    }


def difference(values: Array, others: Array, seed: int = 0) -> dict[str, Any]:
    """How much more log return `values` (n, R) made than `others` (n, S), total over the span and mean of the runs, and
    how sure that is over bars and runs: `value`, `ci95` and `covers`, as in `bot.report.total_interval`.
    """
    gains = log_returns(values) - log_returns(others).mean(1, keepdims=True)
    return total_interval(gains, seed).figures()
