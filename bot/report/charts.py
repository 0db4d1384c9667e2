"""Charts as inline SVG with labels in HTML: the drawing stretches to any width, letters and lines keep their size.

Every series is thinned to what can be seen: in each of BUCKETS stretches of time the first, lowest, highest and last
point stay (the M4 aggregation of Jugel et al. 2014), so that no peak is lost.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from math import floor, isfinite, log10
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.model import Array
from bot.report.formatting import percents

BUCKETS: Final = 360
_SIDE: Final = 2000  # of the drawing, in its own units, both ways
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_MONTH: Final = 2_629_800
_DATE_STEPS: Final = (
    3_600,
    21_600,
    86_400,
    2 * 86_400,
    7 * 86_400,
    _MONTH,
    2 * _MONTH,
    3 * _MONTH,
    6 * _MONTH,
    12 * _MONTH,
)
_DATES: Final = 9  # labels under a chart at most
_LAST_LABEL: Final = 0.97  # of the width; one further right would stand out of the page
_TICK_PIXELS: Final = 45
_LIFT_PIXELS: Final = 9


class Line(NamedTuple):
    """A series (n,) with its name and the class that colours it."""

    name: str
    values: Array
    style: str


class Dots(NamedTuple):
    """Points beside a series: the places of their bars, the series' values there, name and class; `above` the line or
    below it.
    """

    name: str
    places: Sequence[int]
    values: Sequence[float]
    style: str
    above: bool = False


class Panel(NamedTuple):
    """One drawing: lines over time, with dots on them. `form` writes a number of the axis. `bounds` are numbers that
    the axis has to show.
    """

    lines: Sequence[Line]
    form: Callable[[float], str]
    dots: Sequence[Dots] = ()
    bounds: tuple[float, ...] = ()
    height: int = 220


def ahead_panel(values: Array, holds: Array, mixed: Array) -> Panel:
    """By how much of them values (n,) are ahead of holding and of the constant mix."""
    others = (("against holding", holds, "hold"), ("against the constant mix", mixed, "mix"))
    lines = [Line(name, 100 * (values / np.maximum(other, 1e-300) - 1), style) for name, other, style in others]
    return Panel(lines, percents, bounds=(0.0,))


class Marks(NamedTuple):
    """What is marked in every panel: places of the first bars of a new model, of bars that were not traded on, and
    stretches (first place, last place) that the model learned from.
    """

    swaps: Sequence[int] = ()
    missed: Sequence[int] = ()
    in_sample: Sequence[tuple[int, int]] = ()


def chart(title: str, note: str, bar_times: NDArray[np.int64], panels: Sequence[Panel], marks: Marks) -> str:
    """A figure in HTML: panels below each other over one axis of time."""
    legend = "".join(
        [_key(line.name, line.style) for panel in panels for line in panel.lines]
        + [_key(dots.name, dots.style, dot=True) for panel in panels for dots in panel.dots]
    )
    legend += _key("new model", "swap") if marks.swaps else ""
    legend += _key("hour not traded on", "missed") if marks.missed else ""
    legend += _key("in sample: the model learned from these bars", "learned") if marks.in_sample else ""
    drawn = "".join(_panel(panel, bar_times, marks, title) for panel in panels)
    return (
        f'<figure><figcaption><h3>{escape(title)}</h3><p>{escape(note)}</p><div class="legend">{legend}</div>'
        f"</figcaption>{drawn}{_dates(bar_times)}</figure>"
    )


def _key(name: str, style: str, *, dot: bool = False) -> str:
    return f'<span class="{style}"><i class="{"dot" if dot else ""}"></i>{escape(name)}</span>'


def stretches(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The runs of True as (first place, last place)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]


def thinned(values: Array) -> NDArray[np.intp]:
    """The places that are drawn, in order: first, lowest, highest and last of each bucket."""
    return np.arange(len(values)) if len(values) <= 4 * BUCKETS else np.array(sorted(extremes(values, BUCKETS)))


def extremes(values: Array, buckets: int) -> set[int]:
    """The places of the first, lowest, highest and last of each bucket, of which there are no more than values."""
    kept: set[int] = set()
    for start, end in pairwise(np.linspace(0, len(values), buckets + 1).astype(int).tolist()):
        part = values[start:end]
        kept |= {start, start + int(part.argmin()), start + int(part.argmax()), end - 1}
    return kept


def means(values: Array) -> Array:
    """The series with each bucket's bars replaced by their mean, for numbers that jump from bar to bar."""
    edges = np.linspace(0, len(values), min(BUCKETS, len(values)) + 1).astype(int)
    lengths = np.diff(edges)
    return np.repeat(np.add.reduceat(values, edges[:-1]) / lengths, lengths)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about `most` of them."""
    if not (isfinite(low) and isfinite(high)):
        return [0.0, 1.0]
    if high - low <= 1e-8 * max(abs(low), abs(high), 1e-300):  # too close for steps that floats can tell apart
        low, high = low - (abs(low) * 0.01 or 0.5), high + (abs(high) * 0.01 or 0.5)
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in _STEPS if power * factor >= rough * 0.999)
    first = floor(low / step + 1e-9)
    made = [first * step]
    while made[-1] < high - 1e-9 * step:
        made.append((first + len(made)) * step)
    return made


def _panel(panel: Panel, bar_times: NDArray[np.int64], marks: Marks, title: str) -> str:
    shown = [line.values[np.isfinite(line.values)] for line in panel.lines]
    ends = [number for part in shown if len(part) for number in (float(part.min()), float(part.max()))]
    scale = ticks(
        min([*ends, *panel.bounds], default=0.0), max([*ends, *panel.bounds], default=1.0), panel.height // _TICK_PIXELS
    )
    low, span = scale[0], scale[-1] - scale[0]
    x = np.rint(_SIDE * (bar_times - bar_times[0]) / max(int(bar_times[-1] - bar_times[0]), 1)).astype(int)

    def height(value: float) -> int:
        return round(_SIDE * (1 - (value - low) / span))

    def draw(line: Line) -> str:
        points = [(int(x[n]), height(line.values[n])) for n in thinned(line.values).tolist()]
        moves = (f"{c - a} {d - b}" for (a, b), (c, d) in pairwise(points))
        return f'<path class="{line.style}" d="M{points[0][0]} {points[0][1]}l{" ".join(moves)}"/>'

    def spots(dots: Dots) -> str:
        lift = (-1 if dots.above else 1) * round(_SIDE * _LIFT_PIXELS / panel.height)
        at = sorted({(int(x[n]), height(v) + lift) for n, v in zip(dots.places, dots.values, strict=True)})
        return f'<path class="dots {dots.style}" d="{"".join(f"M{a} {b}h0" for a, b in at)}"/>'

    grid = "".join(f"M0 {height(tick)}h{_SIDE}" for tick in scale)
    swaps = "".join(f"M{x[n]} 0v{_SIDE}" for n in marks.swaps)
    missed = "".join(f"M{at} {_SIDE}v-{_SIDE // 25}" for at in sorted({int(x[n]) for n in marks.missed}))
    learned = "".join(f"M{x[first]} 0H{x[last]}V{_SIDE}H{x[first]}z" for first, last in marks.in_sample)
    labels = "".join(
        f'<span style="top:{height(tick) / _SIDE:.1%}">{escape(panel.form(tick))}</span>' for tick in scale
    )
    return (
        f'<div class="panel" style="height:{panel.height}px"><div class="y">{labels}</div>'
        f'<svg viewBox="0 0 {_SIDE} {_SIDE}" preserveAspectRatio="none" role="img" aria-label="{escape(title)}">'
        + (f'<path class="learned" d="{learned}"/>' if learned else "")
        + f'<path class="grid" d="{grid}"/>'
        + (f'<path class="swap" d="{swaps}"/>' if swaps else "")
        + (f'<path class="missed" d="{missed}"/>' if missed else "")
        + "".join(map(draw, reversed(panel.lines)))
        + "".join(map(spots, panel.dots))
        + "</svg></div>"
    )


def _dates(bar_times: NDArray[np.int64]) -> str:
    first, last = int(bar_times[0]), int(bar_times[-1])
    step = next((step for step in _DATE_STEPS if (last - first) / step <= _DATES), _DATE_STEPS[-1])
    form = "%H:%M" if step < 86_400 else "%d %b" if step < _MONTH else "%b %Y"
    if step < _MONTH:
        times = list(range(first + -first % step, last + 1, step))
    else:
        every = step // _MONTH
        begun = datetime.fromtimestamp(first, UTC)
        ahead = range(begun.year * 12, begun.year * 12 + 12 * 60, every)
        starts = (int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()) for month in ahead)
        times = [time for time in starts if first <= time <= last]
    times = [time for time in times if (time - first) <= _LAST_LABEL * (last - first)]
    places = ((f"{(time - first) / max(last - first, 1):.1%}", datetime.fromtimestamp(time, UTC)) for time in times)
    labels = "".join(f'<span style="left:{left}">{time:{form}}</span>' for left, time in places)
    return f'<div class="x">{labels}</div>'
