"""Charts of accounts and of training: each with labelled axes, units and a baseline, readable in print."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from bot.model import Array
from bot.report import thinned

# From Okabe and Ito's palette, whose colours everybody can tell apart; dashes tell them apart without colour.
POLICY: Final[Mapping[str, Any]] = {"color": "#0072B2", "lw": 1.5}
HOLD: Final[Mapping[str, Any]] = {"color": "#333333", "lw": 1.1, "ls": (0, (5, 2))}
MIX: Final[Mapping[str, Any]] = {"color": "#D55E00", "lw": 1.2, "ls": (0, (1.5, 1.2))}
PRICE: Final[Mapping[str, Any]] = {"color": "#222222", "lw": 1.0}
_STYLE: Final[dict[Any, Any]] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "hourhand",
}


def figure(panels: int, heights: Sequence[float] | None = None) -> tuple[Figure, list[Axes]]:
    """A figure 9 inches wide with panels one above the other, in the house's style."""
    with mpl.rc_context(_STYLE):
        fig = Figure(figsize=(9, 0.6 + 2.3 * sum(heights or [1] * panels)))
        grid = fig.subplots(panels, 1, sharex=True, squeeze=False, height_ratios=heights)
        return fig, list(grid[:, 0])


def save(fig: Figure, path: Path) -> None:
    """Write the figure in the format of the path's ending."""
    with mpl.rc_context(_STYLE):
        fig.savefig(path, dpi=150)


def days(bar_times: Sequence[int]) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    """Bar times as numpy's moments."""
    return np.array(bar_times, "datetime64[s]")


def line(axes: Axes, times: Any, values: Array, label: str, **style: Any) -> None:
    """A line through the points that can be seen, peaks and troughs among them: the others only make a page heavy."""
    chosen = thinned(values)
    axes.plot(np.asarray(times)[chosen], values[chosen], label=label, **style)


def daily(runs: Array, bars: int = 24) -> Array:
    """Means of the `bars` up to each one, along the first axis; what hour by hour is a thicket."""
    sums = np.cumsum(np.concatenate([np.zeros_like(runs[:1]), runs]), axis=0)
    ends = np.arange(1, len(runs) + 1)
    starts = np.maximum(ends - bars, 0)
    means: Array = (sums[ends] - sums[starts]) / (ends - starts).reshape(-1, *[1] * (runs.ndim - 1))
    return means


def band(axes: Axes, times: Any, runs: Array) -> None:
    """The range from the lowest to the highest of the runs (n, R)."""
    if runs.shape[1] > 1:
        chosen = np.union1d(thinned(runs.min(1)), thinned(runs.max(1)))
        low, high = runs.min(1)[chosen], runs.max(1)[chosen]
        axes.fill_between(np.asarray(times)[chosen], low, high, color=POLICY["color"], alpha=0.15, lw=0)


def finish(axes: Axes, title: str, unit: str, legend: Literal["upper left", "lower left"] = "upper left") -> None:
    """Title, label of the vertical axis, thousands separated, and the legend at one of the left corners."""
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_ylabel(unit)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace("-", "\N{MINUS SIGN}")))
    axes.legend(loc=legend, ncols=4, borderaxespad=0.2, frameon=False, fontsize=9)
    axes.margins(x=0.01)
    low, high = axes.get_ylim()
    if legend == "upper left":
        axes.set_ylim(low, high + 0.16 * (high - low))


def time_axis(axes: Axes) -> None:
    """Dates below, in UTC."""
    locator = AutoDateLocator(maxticks=7)  # type: ignore[no-untyped-call] # matplotlib leaves it untyped
    axes.xaxis.set_major_locator(locator)
    dates = ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call] # as above
    dates.formats[1], dates.formats[2] = "%b %Y", "%d %b %Y"
    dates.zero_formats[1], dates.zero_formats[2] = "%b %Y", "%b %Y"
    axes.xaxis.set_major_formatter(dates)
    axes.set_xlabel("time, UTC")


def percents(axes: Axes, highest: float = 1.0) -> None:
    """A vertical axis of parts as percentages from 0 up to `highest`, with room for a legend."""
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylim(-0.02 * highest, 1.2 * highest)
    if highest == 1.0:
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])


def market_chart(times: Any, closes: Array, title: str) -> Figure:
    """The price, beside where it started."""
    fig, (axes,) = figure(1, [1.4])
    line(axes, times, closes, "close", **PRICE)
    axes.axhline(closes[0], label=f"at the start, {closes[0]:,.0f}", **MIX)
    finish(axes, title, "US dollars per bitcoin")
    time_axis(axes)
    return fig


def episodes_chart(profits: Array, smooth: int = 100) -> Figure:
    """Profit of each episode and its moving mean, beside holding, which is 0."""
    fig, (above, below) = figure(2, [1.2, 1.2])
    episodes = np.arange(1, len(profits) + 1)
    above.plot(episodes, profits, color=POLICY["color"], lw=0.3, alpha=0.7, label="one episode")
    above.axhline(0, label="holding", **HOLD)
    finish(above, "Profit of each episode over holding", "US dollars")
    smooth = min(smooth, len(profits))
    means = np.convolve(profits, np.full(smooth, 1 / smooth), "valid")
    below.plot(episodes[smooth - 1 :], means, label=f"mean of {smooth} episodes", **POLICY)
    below.axhline(0, label="holding", **HOLD)
    finish(below, "The same, smoothed", "US dollars")
    below.set_xlabel("episode of up to 500 hours")
    below.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return fig


def account_chart(times: Any, values: Array, stocks: Array, closes: Array, initial: float, hold: Array) -> Figure:
    """One account over a span beside holding: value, coins, share in coins and profit.

    `values`, `stocks`, `closes` and `hold`, the value of holding, are (n,); `initial` is how many coins holding has.
    """
    fig, (value, coins, share, profit) = figure(4, [1.2, 0.9, 0.9, 1])
    line(value, times, values, "policy", **POLICY)
    line(value, times, hold, "holding", **HOLD)
    finish(value, "Total value", "US dollars")
    line(coins, times, daily(stocks), "policy", **POLICY)
    coins.axhline(initial, label="holding", **HOLD)
    finish(coins, "Coins held, mean of 24 hours", "bitcoins")
    line(share, times, daily(stocks * closes / values), "policy", **POLICY)
    line(share, times, daily(initial * closes / hold), "holding", **HOLD)
    finish(share, "Share of the value in coins, mean of 24 hours", "percent")
    percents(share)
    line(profit, times, values - hold, "policy", **POLICY)
    profit.axhline(0, label="holding", **HOLD)
    finish(profit, "Profit over holding", "US dollars")
    time_axis(profit)
    return fig


def exposure_chart(
    times: Any, closes: Array, shares: Array, baseline: Array, label: str, unit: str = "US dollars per bitcoin"
) -> Figure:
    """Share in coins (n, R) against the price, beside a baseline's share (n,)."""
    fig, (price, share) = figure(2, [1.1, 1.1])
    line(price, times, closes, "close", **PRICE)
    price.axhline(closes[0], label=f"at the start, {closes[0]:,.0f}", **MIX)
    finish(price, "Price", unit)
    means = daily(shares)
    band(share, times, means)
    line(share, times, means.mean(1), "policy", **POLICY)
    line(share, times, daily(baseline), label, **HOLD)
    finish(share, "Share of the value in coins, mean of 24 hours", "percent")
    percents(share)
    time_axis(share)
    return fig
