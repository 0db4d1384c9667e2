"""How a training goes, on standard error."""

import sys
import time
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

_LINE_SECONDS: Final = 10.0


class Screen:
    """Progress on standard error: a bar where that is a terminal, a line now and then where it is not."""

    def __init__(self, steps: int, done: int = 0) -> None:
        self._console = Console(stderr=True)
        columns = (BarColumn(20), TextColumn("{task.description}"), TimeRemainingColumn(compact=True))
        self._bar = Bar(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("", total=steps, completed=done)
        self._steps, self._shown = steps, 0.0

    def show(self, steps: int, seconds: float, stats: dict[str, float]) -> None:
        """Steps and seconds of training so far, and what to tell of the last iteration."""
        now = time.perf_counter()
        pace = steps / seconds
        names = ("profit", "buys", "sells", "entropy", "kl", "explained_variance")
        text = "  ".join(f"{name.replace('_', ' ')} {stats[name]:.3g}" for name in names if name in stats)
        line = f"{steps:,} steps  {pace:,.0f}/s  {text}"
        self._bar.update(self._task, completed=steps, description=line)
        if self._bar.disable and (now - self._shown > _LINE_SECONDS or steps >= self._steps):
            self._shown = now
            sys.stderr.write(f"{line}  {(self._steps - steps) / pace:.0f} s left\n")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
