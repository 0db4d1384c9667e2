"""What a series of values says: return, Sharpe ratio, drawdown."""

from math import log
from typing import Final

import numpy as np

from bot.model import Array

HOURS_A_YEAR: Final = 8760
_TINY: Final = float(np.finfo(float).tiny)
_FEWEST: Final = 3


def bars_a_year(bar: int) -> float:
    """How many bars of `bar` seconds there are in a year of 365 days."""
    return HOURS_A_YEAR * 3600 / bar


def log_returns(values: Array) -> Array:
    """Natural logarithms of the changes of values (n, ...), bar by bar: (n - 1, ...)."""
    returns: Array = np.diff(np.log(values), axis=0)
    return returns


def log_return(values: Array) -> float | None:
    """Natural logarithm of last over first, None where one of them is not positive."""
    first, last = float(values[0]), float(values[-1])
    return log(last / first) if first > 0 and last > 0 else None


def drawdowns(values: Array) -> Array:
    """How far each value (n, ...) lies below the highest before it, as a part of that: (n, ...), 0 or more."""
    below: Array = 1 - values / np.maximum(np.maximum.accumulate(values, axis=0), _TINY)
    return below


def sharpe(values: Array, yearly: float = HOURS_A_YEAR) -> float | None:
    """Sharpe ratio of values (n,): mean over standard deviation of the bars' simple returns, times the root of the
    bars in a year, `yearly`; no risk-free rate (Sharpe 1994). None where nothing moves or a value is not positive.
    """
    if len(values) < _FEWEST or values.min() <= 0:
        return None
    returns = values[1:] / values[:-1] - 1
    deviation = float(returns.std())
    return float(returns.mean() / deviation * np.sqrt(yearly)) if deviation > 0 else None
