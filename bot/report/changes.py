"""How much an account gained since a moment, beside holding and its constant mix."""

from typing import NamedTuple

import numpy as np

from bot.report.series import FullSeries


class Change(NamedTuple):
    """A gain in quote currency, and as a part of where it began, None where that was nothing."""

    money: float
    part: float | None


class Changes(NamedTuple):
    """The same span for the account, the initial holdings and the constant mix."""

    account: Change
    holding: Change
    mix: Change


def changes(full: FullSeries, since: float = 0.0) -> Changes:
    """The changes since the last bar that had closed at `since` (Unix seconds), or the first value where none had."""
    history = full.history
    closed = history.bar_times + history.terms.bar <= since
    base = max(int(np.count_nonzero(closed)) - 1, 0)
    last = full.mixed[-1]
    ends = (history.value, float(history.holds[-1]), float(last))
    begins = (history.values[base], history.holds[base], full.mixed[base])
    found = [
        Change(end - float(begin), end / float(begin) - 1 if begin > 0 else None)
        for end, begin in zip(ends, begins, strict=True)
    ]
    return Changes(*found)
