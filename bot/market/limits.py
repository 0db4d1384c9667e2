"""What orders a market takes, as ccxt's list of markets says it."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, NamedTuple

_TICK_SIZE: Final = 4  # ccxt's number for precisions that are steps; others are counts of decimals

_FINEST: Final = 1e-30


class MarketLimits(NamedTuple):
    """The smallest order in coins and in quote currency, and the step of its coins; 0 where the exchange names none."""

    min_amount: float
    min_cost: float
    amount_step: float


def parse_limits(market: Mapping[str, Any], precision_mode: int) -> MarketLimits:
    """From an entry of ccxt's `load_markets` and the exchange's `precisionMode`.

    Raises ValueError where a limit is not a finite number, 0 or more, or the step is finer than any exchange's.
    """
    limits = market.get("limits") or {}
    amount, cost = (_number((limits.get(name) or {}).get("min")) for name in ("amount", "cost"))
    precision = _number((market.get("precision") or {}).get("amount"), missing=-1.0)
    if 0 < precision < _FINEST:
        raise ValueError(f"{precision} is not a step of coins")
    if precision < 0 or precision_mode == _TICK_SIZE:
        return MarketLimits(amount, cost, max(precision, 0.0))
    # The two exchanges of ccxt that count significant digits, bitfinex and bithumb, mean decimals where amounts are
    # concerned; ccxt's bitfinex truncates them so.
    step = float(f"1e-{precision:.0f}")
    return MarketLimits(amount, cost, step)


def _number(value: Any, missing: float = 0.0) -> float:
    if value is None:
        return missing
    number = float(value)
    if not isfinite(number) or number < 0:
        raise ValueError(f"{value} is not a limit")
    return number + 0.0
