"""Whether gains are more than chance."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from arch.bootstrap import StationaryBootstrap

from bot.model import Array
from training.selection.out_of_fold import OutOfFold

_BLOCK: Final = 168
_RESAMPLES: Final = 2000


class Evidence(NamedTuple):
    """`p_value`: how often a series of the same hours without any gain on average would have gained as much."""

    p_value: float
    found: bool


def pooled_gains(results: Sequence[OutOfFold]) -> Array:
    """The gains of each hour that any market has, added up over the markets, in order of time."""
    times = np.concatenate([result.times for result in results])
    gains = np.concatenate([result.gains for result in results])
    _, places = np.unique(times, return_inverse=True)
    return np.bincount(places, gains)


def evidence(results: Sequence[OutOfFold], level: float) -> Evidence:
    """Evidence of timing, one-sided, by the stationary bootstrap of the hours of all markets together."""
    gains = pooled_gains(results)
    mean = float(gains.mean())
    bootstrap = StationaryBootstrap(min(_BLOCK, max(len(gains) // 10, 1)), gains - mean, seed=0)
    chance = bootstrap.apply(np.mean, _RESAMPLES)[:, 0]
    p_value = float((1 + (chance >= mean).sum()) / (1 + _RESAMPLES))
    return Evidence(p_value, p_value <= level)
