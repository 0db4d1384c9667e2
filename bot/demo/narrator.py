"""How the demo speaks: calmly, in lines of 80 columns, with a little colour on a terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import plotext
from rich.console import Console
from rich.markup import escape

from bot.demo.processes import Line
from bot.demo.scenario import HOUR, ScenarioResult, is_bar
from bot.settings import find_settings
from bot.trading import MINIMUM, POLICY, Decision

_WIDTH: Final = 80
_HEIGHT: Final = 19
_STEPS: Final = (50, 100, 200, 250, 500, 1000, 2000, 2500, 5000, 10_000, 20_000, 50_000)  # between two lines, in money
_MOST_LINES: Final = 6
_DAY: Final = 86_400
_SHOWN_EVERY: Final = 24  # bars
_DULL: Final = {"bar", "started", "stopped", "heartbeat"}


class Narrator:
    """Says things on a stream; in colour where that is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.console = Console(file=stream, width=_WIDTH, highlight=False)
        self.colours = self.console.is_terminal and not self.console.no_color
        self._reason = ""
        self.console.print("\n[bold]hourhand demo[/bold]: two weeks of an hourly paper trader, in about a minute")

    def tell(self, what: str) -> None:
        """An act."""
        self.console.print(f"\n[bold cyan]{escape(what)}[/bold cyan]", soft_wrap=True)

    def header(self) -> None:
        """What the columns of a bar's line mean."""
        self.console.print(
            f"[dim]  {'one bar a day':<16}{'close':>14}    {'action':<12}{'value':>12}{'over holding':>16}[/dim]"
        )

    def line(self, line: Line, result: ScenarioResult) -> None:
        """A line of the daemon's log, where it is one of those that are shown: a bar a day, and what is not a bar."""
        event = line["event"]
        if "market" in line or (event == "bar" and not is_bar(line)):
            return
        if event == "bar":
            is_news = line["reason"] not in (POLICY, MINIMUM, self._reason)
            self._reason = line["reason"]
            if is_news or (line["bar_time"] - result.first) % (_SHOWN_EVERY * HOUR) == 0:
                self._bar(line)
        elif event == "exchange_error":
            tries, hours = line["failures"], line["for_seconds"] / HOUR
            reason = line["error"].removeprefix("bitfinex cannot be reached: ")[:40]
            self._trouble(f"{event:<20}{reason}, {hours:.0f} h, {tries} {'try' if tries == 1 else 'tries'}")
        elif event == "exchange_recovered":
            self._trouble(f"{event:<20}after {line['for_seconds'] / HOUR:.0f} h")
        elif event == "gap":
            self._trouble(f"{event:<20}{line['bars']} h")
        elif event not in _DULL:
            self._trouble(event)

    def command(self, command: str, output: str) -> None:
        """A command as it would be typed, and what it printed."""
        self.console.print(f"\n[bold]$ hourhand {escape(command)}[/bold]")
        self.show(output)

    def show(self, text: str) -> None:
        """Text as it is."""
        self.console.file.write(text.rstrip("\n") + "\n")
        self.console.file.flush()

    def conclude(self, summary: dict[str, Any], kept: Path | None) -> None:
        """What was true, where the ledger is, and what to type next."""
        self.console.print()
        for check, is_true in summary["checks"].items():
            self.console.print(f"  {'[green]yes[/green]' if is_true else '[bold red]NO[/bold red] '}  {check}")
        outcome = "All of it was true" if summary["ok"] else "Not all of it was true, which it should be"
        self.console.print(f"\n{outcome}. It took {summary['seconds']:.0f} seconds.")
        self.console.print("The prices were generated: gain and loss mean nothing here.")
        if kept is None:
            self.console.print("The ledger was in a temporary folder, and is gone; `--keep DIR` keeps it.")
        else:
            self.console.print("The ledger is kept. Look at it with")
            self.show(f"    hourhand status --config {kept}/bot.toml")
        first = "" if find_settings() else "hourhand init, "
        self.console.print(f"\nNext, with real prices and paper money:  {first}hourhand doctor, hourhand run\n")

    def _bar(self, line: Line) -> None:
        when = line["time"][:16].replace("T", " ")
        did = line["action"] if line["reason"] in (POLICY, MINIMUM) else line["reason"]
        self.console.print(
            f"  {when:<16}{line['close']:>14,.2f}    {did:<12}{line['value']:>12,.2f}{line['excess']:>+16,.2f}"
        )

    def _trouble(self, what: str) -> None:
        self.console.print(f"[yellow]  {escape(what)}[/yellow]", soft_wrap=True)


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
