"""Candles that no exchange traded, with what real ones have: clustering volatility, fat tails, holes and dead hours."""

from typing import Final

import numpy as np
import numpy.typing as npt

from bot.market import Candle

START: Final = 1_577_836_800
DEVIATION: Final = 0.0088  # of an hourly logarithmic return of BTC/USD

_SHOCK, _MEMORY = 0.09, 0.89  # GARCH(1, 1): what the last squared return and the last variance add to the next
_TAILS: Final = 4.0  # degrees of freedom of Student's t
_MOST_MOVE: Final = 0.2
_LARGEST_VARIANCE: Final = (5 * DEVIATION) ** 2
_RANGE: Final = 0.33  # mean of how far high and low lie beyond open and close, in standard deviations of the hour
_HOLE_BARS: Final = 2.5

Array = npt.NDArray[np.float64]


def generate_candles(
    bars: int,
    seed: int,
    start: int = START,
    bar: int = 3600,
    price: float = 10_000.0,
    *,
    holes: float = 0.0001,
    quiet: float = 0.00125,
) -> list[Candle]:
    """Candles of `bars` bars of `bar` seconds from `start` on, the first opening near `price`; the same for a seed.

    `holes` is the chance that bars go missing at a bar (2.5 of them on average; they are absent from the list, which
    is then shorter than `bars`), `quiet` that a bar has no trade (flat and without volume). The defaults of these,
    of volatility and of volume are near to those of BTC/USD on Bitfinex from 2017 to 2022. Returns follow GARCH(1, 1)
    (Bollerslev 1986) with innovations of Student's t.
    """
    rng = np.random.default_rng(seed)
    returns, deviations = _returns(bars, rng)
    dead = rng.random(bars) < quiet
    returns[dead] = 0.0
    volumes = np.where(dead, 0.0, _volumes(np.abs(returns), deviations, rng))
    closes = price * np.exp(np.cumsum(returns))
    befores = np.concatenate([[price], closes[:-1]])
    opens = np.where(dead, befores, befores * np.exp(rng.normal(0.0, 0.0002, bars) * (rng.random(bars) < 0.4)))
    up, down = np.where(dead, 0.0, rng.exponential(_RANGE, (2, bars)) * deviations)
    highs, lows = np.maximum(opens, closes) * np.exp(up), np.minimum(opens, closes) * np.exp(-down)
    table = np.stack([opens, highs, lows, closes, volumes], axis=1)
    missing = _missing(bars, holes, rng)
    return [_candle(start + i * bar, table[i].tolist()) for i in range(bars) if not missing[i]]


def _returns(bars: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Logarithmic returns and the standard deviation that each was drawn with."""
    usual = DEVIATION**2 * (1 - _SHOCK - _MEMORY)
    shocks = (rng.standard_t(_TAILS, bars) * np.sqrt((_TAILS - 2) / _TAILS)).tolist()
    variance, returns, variances = DEVIATION**2, [], []
    for shock in shocks:
        move = max(-_MOST_MOVE, min(_MOST_MOVE, variance**0.5 * shock))
        returns.append(move)
        variances.append(variance)
        variance = min(usual + _SHOCK * move * move + _MEMORY * variance, _LARGEST_VARIANCE)
    return np.array(returns), np.sqrt(np.array(variances))


def _volumes(moves: Array, deviations: Array, rng: np.random.Generator) -> Array:
    """Volumes that rise and fall over days and over hours, with volatility and with the bar's own move."""
    days = hours = 0.0
    levels = []
    for slow, fast in rng.normal(0.0, (0.07, 0.55), (len(moves), 2)).tolist():
        days, hours = 0.996 * days + slow, 0.5 * hours + fast
        levels.append(days + hours)
    busy = np.log(deviations / DEVIATION) + 0.45 * moves / deviations
    return np.exp(5.35 + np.array(levels) + busy)


def _missing(bars: int, holes: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    missing = np.zeros(bars, dtype=bool)
    for first in np.flatnonzero(rng.random(bars) < holes):
        missing[max(first, 1) : first + rng.geometric(1 / _HOLE_BARS)] = True
    missing[-1:] = False
    return missing


def _candle(bar_time: int, numbers: list[float]) -> Candle:
    """A candle of six significant digits, as exchanges quote them; that keeps their order and makes none of them 0."""
    opened, high, low, close, volume = (float(f"{number:.6g}") for number in numbers)
    return Candle(bar_time, opened, high, low, close, volume)
