"""What is remembered of a market over days and weeks: running averages, moved on by one bar at a time.

Every average of a time constant of h bars is exponential: `m <- (1 - 1/h) m + x/h`, and beside it the same of ones,
which it is divided by (the bias correction of Adam, Kingma and Ba 2015). So an average is defined from the first bar
on: it is that of the bars there were.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_DAY, _WEEK, _MONTH = 24.0, 168.0, 720.0
_CLOSES: Final = (_DAY, _WEEK, _MONTH)  # of the logarithm of the close
_SQUARES: Final = (_DAY, _WEEK, _MONTH)  # of the squared return
_VOLUMES: Final = (_DAY, _WEEK)  # of the logarithm of the volume
_ONES: Final = (_DAY, _WEEK, _MONTH)
_GAIN: Final = 1 / np.array([*_CLOSES, *_SQUARES, *_VOLUMES, *_ONES])
_KEEP: Final = 1 - _GAIN
_SPANS: Final = np.array([_DAY, _WEEK, _MONTH])
_CALM: Final = 1e-8  # a squared return of 1 bp: below it nothing moves, and ratios would say something about nothing


class Memory(NamedTuple):
    """A way of remembering. `size` float64 numbers are carried from bar to bar, zeros before the first.

    `move` maps memory (..., size), the bar before and the bar itself (..., 5) to the next memory; `look` maps that and
    the bar to (..., len(names)). `warmup_bars` is how many bars it wants to have seen.
    """

    size: int
    warmup_bars: int
    names: tuple[str, ...]
    move: Callable[[Array, Array, Array], Array]
    look: Callable[[Array, Array], Array]


def _logarithms(bar: Array) -> tuple[Any, Any]:
    return np.log(bar[..., 3]), np.log1p(bar[..., 4])


def move(memory: Array, before: Array, bar: Array) -> Array:
    """The averages after one more bar: memory (..., 11), bars (..., 5)."""
    price, volume = _logarithms(bar)
    square = np.square(price - np.log(before[..., 3]))
    one = np.ones_like(price)
    news = np.stack([price, price, price, square, square, square, volume, volume, one, one, one], axis=-1)
    moved: Array = _KEEP * memory + _GAIN * news
    return moved


def look(memory: Array, bar: Array) -> Array:
    """Eight numbers of a memory that has seen the bar (..., 11) and the bar (..., 5).

    How far the close is from its averages over a day, a week and a month, in standard deviations of such a time by the
    month's volatility; the logarithms of the day's and the week's volatility to the month's; the logarithms of the
    bar's volume to the day's and the week's average, and of the day's to the week's. Each passes the inverse
    hyperbolic sine, which leaves small numbers as they are.
    """
    price, volume = _logarithms(bar)
    weights = memory[..., 8:]
    prices = memory[..., 0:3] / weights
    squares = memory[..., 3:6] / weights + _CALM
    volumes = memory[..., 6:8] / weights[..., :2]
    typical = np.sqrt(squares[..., 2:] * _SPANS)
    distances = (price[..., None] - prices) / typical
    volatilities = 0.5 * np.log(squares[..., :2] / squares[..., 2:])
    levels = volume[..., None] - volumes
    seen = np.concatenate([distances, volatilities, levels, volumes[..., :1] - volumes[..., 1:]], axis=-1)
    squeezed: Array = np.arcsinh(seen)
    return squeezed


SLOW: Final = Memory(
    11,
    2160,
    (
        "close_to_day",
        "close_to_week",
        "close_to_month",
        "volatility_of_day",
        "volatility_of_week",
        "volume_to_day",
        "volume_to_week",
        "volume_of_day",
    ),
    move,
    look,
)
