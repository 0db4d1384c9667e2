"""Charts of accounts and of training: each with labelled axes, units and a baseline, readable in print."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

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


def figure(*heights: float) -> tuple[Figure, list[Axes]]:
    """A figure 9 inches wide with panels of these heights one above the other, in the house's style."""
    with mpl.rc_context(_STYLE):
        fig = Figure(figsize=(9, 0.6 + 2.3 * sum(heights)))
        grid = fig.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
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


def daily(hourly: Array) -> Array:
    """Means of the 24 numbers up to each one (n,); what hour by hour is a thicket."""
    sums = np.cumsum(np.concatenate([[0.0], hourly]))
    ends = np.arange(1, len(hourly) + 1)
    starts = np.maximum(ends - 24, 0)
    means: Array = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def finish(axes: Axes, title: str, unit: str) -> None:
    """Title, label of the vertical axis, thousands separated, and the legend above the lines."""
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_ylabel(unit)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace("-", "\N{MINUS SIGN}")))
    axes.legend(loc="upper left", ncols=4, borderaxespad=0.2, frameon=False, fontsize=9)
    axes.margins(x=0.01)
    low, high = axes.get_ylim()
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


def percents(axes: Axes) -> None:
    """A vertical axis of parts as percentages, with room for a legend."""
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylim(-0.02, 1.2)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])


def market_chart(times: Any, closes: Array, title: str) -> Figure:
    """The price, beside where it started."""
    fig, (axes,) = figure(1.4)
    line(axes, times, closes, "close", **PRICE)
    axes.axhline(closes[0], label=f"at the start, {closes[0]:,.0f}", **MIX)
    finish(axes, title, "US dollars per bitcoin")
    time_axis(axes)
    return fig


def episodes_chart(profits: Array) -> Figure:
    """Profit of each episode and its moving mean, beside holding, which is 0."""
    fig, (above, below) = figure(1.2, 1.2)
    episodes = np.arange(1, len(profits) + 1)
    above.plot(episodes, profits, color=POLICY["color"], lw=0.3, alpha=0.7, label="one episode")
    above.axhline(0, label="holding", **HOLD)
    finish(above, "Profit of each episode over holding", "US dollars")
    smooth = min(100, len(profits))
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
    fig, (value, coins, share, profit) = figure(1.2, 0.9, 0.9, 1)
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


def exposure_chart(times: Any, closes: Array, shares: Array, hold: Array) -> Figure:
    """Share in coins (n,) against the price, beside that of holding (n,)."""
    fig, (price, share) = figure(1.1, 1.1)
    line(price, times, closes, "close", **PRICE)
    price.axhline(closes[0], label=f"at the start, {closes[0]:,.0f}", **MIX)
    finish(price, "Price", "US dollars per bitcoin")
    line(share, times, daily(shares), "policy", **POLICY)
    line(share, times, daily(hold), "holding", **HOLD)
    finish(share, "Share of the value in coins, mean of 24 hours", "percent")
    percents(share)
    time_axis(share)
    return fig
