"""What subcommands share: parsed_args, settings and clock, and how results, tables and progress are printed."""

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bot.clock import Clock, read_clock
from bot.errors import UsageError
from bot.redact import printable
from bot.settings import Settings, load_settings


def add_config(parser: ArgumentParser) -> None:
    """`--config FILE`."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings (default: HOURHAND_CONFIG, hourhand.toml, config/bot.toml, the user's configuration folder)",
    )


def add_json(parser: ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def add_accounts(parser: ArgumentParser) -> None:
    """`--account NAME`, which may be repeated."""
    parser.add_argument(
        "--account", action="append", metavar="NAME", help="this account; may be repeated (default: all on the market)"
    )


def read_settings(parsed_args: Namespace) -> tuple[Settings, Clock]:
    """Settings and clock. Raises UsageError, also for a simulated clock without `exchange.base_url`."""
    settings = load_settings(parsed_args.config)
    clock = read_clock(os.environ.get("HOURHAND_CLOCK"))
    if clock.simulated and not settings.exchange.base_url:
        raise UsageError("HOURHAND_CLOCK needs exchange.base_url: no real exchange is asked on a simulated clock")
    return settings, clock


def print_result(result: Mapping[str, Any], *, as_json: bool) -> None:
    """One result: a JSON object, or a line for each of its entries."""
    if as_json:
        print(json.dumps(result))
        return
    width = max(map(len, result), default=0)
    for name, value in result.items():
        print(f"{name.replace('_', ' '):<{width}}  {format_cell(value)}")


def format_cell(value: Any) -> str:
    """A cell of text: thousands apart, money to the cent, small numbers to eight digits, no escape sequences."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(format_cell, value)) or "-"
    if isinstance(value, float):
        return f"{value:,.8f}".rstrip("0").rstrip(".") if abs(value) < 100 else f"{value:,.2f}"
    return printable(str(value))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """A table; numbers to the right."""
    from rich.console import Console  # noqa: PLC0415 - slow to load, and `status` does without
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    body = [list(row) for row in rows]
    for place, column in enumerate(columns):
        numbers = all(isinstance(row[place], int | float) for row in body)
        table.add_column(column, justify="right" if numbers and body else "left", no_wrap=True)
    for row in body:
        table.add_row(*map(format_cell, row))
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)
    if title:
        console.print(title)
    console.print(table)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Any]:
    """A progress bar on standard error for work that takes longer than a second; yields `update(done, total)`."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def update(done: int, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total)

        yield update
