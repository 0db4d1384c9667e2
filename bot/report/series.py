"""An account's history as series to draw: as many points as asked for, and no peak lost."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.clock import END_OF_TIME
from bot.model import Array
from bot.report.charts import extremes
from bot.report.history import AccountHistory, mix, swaps
from bot.report.statistics import drawdowns
from bot.trading import MINIMUM, POLICY

_EXTREMES = 10  # points that are kept beside those of the buckets: the highest and lowest of five series


class FullSeries(NamedTuple):
    """What is worked out once for a whole history of n bars; every array (n,). `bought` and `sold` are in quote
    currency, `untraded` where nothing could be traded, `swapped` where another model began.
    """

    history: AccountHistory
    mixed: Array
    drawdown: Array
    hold_drawdown: Array
    bought: Array
    sold: Array
    untraded: NDArray[np.bool_]
    swapped: NDArray[np.bool_]


class Series(NamedTuple):
    """m points, each standing for the bars since the point before it; every array (m,), `candles` (m, 4), open, high,
    low and close of those bars, `probabilities` (m, 3) their means of hold, buy and sell.

    `values`, `holds`, `mixed`, `exposure` and `costs` (commission and slippage so far) are at the point's own bar,
    `drawdown` is the deepest of its bars, `bought` and `sold` are in quote currency and added up, `untraded` counts
    bars, `in_sample` and `swapped` say whether any bar was one.
    """

    bar_times: NDArray[np.int64]
    candles: Array
    values: Array
    holds: Array
    mixed: Array
    exposure: Array
    drawdown: Array
    hold_drawdown: Array
    probabilities: Array
    costs: Array
    bought: Array
    sold: Array
    untraded: NDArray[np.int64]
    in_sample: NDArray[np.bool_]
    swapped: NDArray[np.bool_]


def full_series(history: AccountHistory) -> FullSeries:
    """The series of a whole history, before any thinning."""
    n = len(history.bar_times)
    bought, sold = np.zeros((2, n))
    at = np.searchsorted(history.bar_times, np.fromiter(history.fills, np.int64, len(history.fills)))
    for place, fill in zip(at.tolist(), history.fills.values(), strict=True):
        (bought if fill.side == "buy" else sold)[place] = fill.cost
    untraded = np.fromiter((reason not in (POLICY, MINIMUM) for reason in history.reasons), np.bool_, n)
    swapped = np.zeros(n, np.bool_)
    swapped[swaps(history)] = True
    return FullSeries(
        history, mix(history), drawdowns(history.values), drawdowns(history.holds), bought, sold, untraded, swapped
    )


def thin(full: FullSeries, points: int, first: int = 0, end: int = END_OF_TIME) -> Series:
    """The bars with first <= bar_time < end as at most `points` points, 20 or more.

    In each of equal stretches of bars the first, lowest, highest and last value are kept (the M4 aggregation of Jugel
    et al. 2014), and the highest and lowest of holding, mix, exposure and both drawdowns in the whole span.
    """
    history = full.history
    start, stop = np.searchsorted(history.bar_times, [first, end]).tolist()
    kept = _kept(full, start, stop, points)
    if not len(kept):
        none: list[Any] = [column[:0] for column in _columns(full, np.arange(1), np.arange(1))]
        return Series(*none)
    return Series(*_columns(full, kept, np.concatenate([[start], kept[:-1] + 1])))


def _kept(full: FullSeries, start: int, stop: int, points: int) -> NDArray[np.intp]:
    n = stop - start
    if n <= points:
        return np.arange(start, stop)
    kept = extremes(full.history.values[start:stop], max(1, (points - _EXTREMES - 2) // 4))
    for other in (full.history.holds, full.mixed, full.history.shares, full.drawdown, full.hold_drawdown):
        kept |= {int(other[start:stop].argmin()), int(other[start:stop].argmax())}
    return start + np.array(sorted(kept))


def _columns(full: FullSeries, kept: NDArray[np.intp], starts: NDArray[np.intp]) -> list[Any]:
    history, candles, end = full.history, full.history.record.columns.candles, int(kept[-1]) + 1
    lengths = kept - starts + 1

    def total(column: Any) -> Any:
        return np.add.reduceat(column[:end], starts)

    return [
        history.bar_times[kept],
        np.column_stack(
            [
                candles[starts, 0],
                np.maximum.reduceat(candles[:end, 1], starts),
                np.minimum.reduceat(candles[:end, 2], starts),
                candles[kept, 3],
            ]
        ),
        history.values[kept],
        history.holds[kept],
        full.mixed[kept],
        history.shares[kept],
        np.maximum.reduceat(full.drawdown[:end], starts),
        np.maximum.reduceat(full.hold_drawdown[:end], starts),
        np.add.reduceat(history.probabilities[:end], starts, axis=0) / lengths[:, None],
        (history.commissions + history.slippages).cumsum()[kept],
        total(full.bought),
        total(full.sold),
        total(full.untraded.astype(np.int64)),
        np.logical_or.reduceat(history.in_sample[:end], starts),
        np.logical_or.reduceat(full.swapped[:end], starts),
    ]
