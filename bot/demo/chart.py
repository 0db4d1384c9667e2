"""Value against holding, drawn with characters."""

from collections.abc import Sequence
from typing import Any, Final

import plotext

from bot.trading import Decision

_WIDTH: Final = 80
_HEIGHT: Final = 19
_STEPS: Final = (50, 100, 200, 250, 500, 1000, 2000, 2500, 5000, 10_000, 20_000, 50_000)  # between two lines, in money
_MOST_LINES: Final = 6
_DAY: Final = 86_400


def chart(decisions: Sequence[Decision], *, colours: bool) -> str:
    """The account's value and the initial holdings', over days from the first decision: 80 columns wide."""
    first = decisions[0].bar_time
    days = [(decision.bar_time - first) / _DAY for decision in decisions]
    values = [decision.value for decision in decisions]
    held = [decision.hold_value for decision in decisions]
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")  # no background of its own: it has to look right on dark and light terminals
    figure.plot_size(_WIDTH, _HEIGHT)
    figure.draw(figure.signal(days, held, marker=plotext.marker("·", "blue")).lines())
    figure.draw(figure.signal(days, values, marker=plotext.marker("braille", "green")).lines())
    figure.title("dollars:  ⢕ value of the account   · the same money, never traded")
    figure.label("days", "x")
    ends = range(int(days[-1]) + 2)
    figure.ruler("x").ticks(list(ends), [str(day) for day in ends])
    marks = _marks(min(values + held), max(values + held))
    figure.ruler("y").ticks(marks, [f"{mark:,.0f}" for mark in marks])
    picture: Any = figure.build()
    text: str = picture.string(colorless=not colours)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _marks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`."""
    step = next((step for step in _STEPS if (high - low) / step <= _MOST_LINES), _STEPS[-1])
    return [float(mark) for mark in range(-int(-low // step) * step, int(high) + 1, step)]
