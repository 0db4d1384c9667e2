"""What the subcommands share: options, settings and clock, and how a result is shown."""

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bot.clock import Clock, read_clock
from bot.errors import UsageError
from bot.settings import Settings, load_settings


def add_config(parser: ArgumentParser) -> None:
    """`--config FILE`."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: config/bot.toml where there is one)"
    )


def add_json(parser: ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text for people")


def read_settings(options: Namespace) -> tuple[Settings, Clock]:
    """Settings and clock. Raises UsageError, also for a simulated clock where a real exchange would meet it."""
    settings = load_settings(options.config)
    clock = read_clock(os.environ.get("HOURHAND_CLOCK"))
    if clock.simulated and not settings.exchange.base_url:
        raise UsageError("HOURHAND_CLOCK needs exchange.base_url: no real exchange is met on a false clock")
    return settings, clock


def show(result: Mapping[str, Any], *, as_json: bool) -> None:
    """One result: a JSON object, or a line for each of its entries."""
    if as_json:
        print(json.dumps(result))
        return
    width = max(map(len, result), default=0)
    for name, value in result.items():
        print(f"{name.replace('_', ' '):<{width}}  {_plain(value)}")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Rows for people; numbers to the right."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    body = [list(row) for row in rows]
    for place, column in enumerate(columns):
        numbers = all(isinstance(row[place], int | float) for row in body)
        table.add_column(column, justify="right" if numbers and body else "left", no_wrap=True)
    for row in body:
        table.add_row(*map(_plain, row))
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)
    console.print(table)


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.8f}".rstrip("0").rstrip(".") if abs(value) < 100 else f"{value:,.2f}"
    return str(value)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Any]:
    """A progress bar on standard error for work that takes longer than a second; yields `tell(done, total)`."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)

        def tell(done: int, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total)

        yield tell
