"""What subcommands share: options, settings and clock, and how results, tables and progress are printed."""

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

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
        "--account", action="append", metavar="NAME", help="only this account; repeatable (default: all on the market)"
    )


def read_settings(parsed_args: Namespace) -> tuple[Settings, Clock]:
    """Settings and clock. Raises UsageError, also for a simulated clock without `exchange.base_url`."""
    settings = load_settings(parsed_args.config)
    clock = read_clock(os.environ.get("HOURHAND_CLOCK"))
    for market in settings.each_market() if clock.simulated else ():
        if not market.exchange.base_url:
            whose = f"base_url of market {market.account.name}" if settings.markets else "exchange.base_url"
            raise UsageError(f"HOURHAND_CLOCK needs {whose}: no real exchange is asked on a simulated clock")
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


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "", optional: Sequence[str] = ()
) -> None:
    """A table; numbers to the right. Where a terminal is too narrow, columns of `optional` are left out, the first of
    them first, and named below it; then the last column breaks into lines.
    """
    from rich.console import Console  # noqa: PLC0415 - slow to load, and `status` does without
    from rich.table import Table  # noqa: PLC0415

    body = [list(row) for row in rows]
    cells = [[format_cell(cell) for cell in row] for row in body]
    widths = {name: max(len(name), *(len(row[n]) for row in cells), 0) for n, name in enumerate(columns)}
    whole = sum(widths.values()) + 2 * len(widths)
    console = Console(width=None if sys.stdout.isatty() else max(whole, 200), highlight=False, markup=False)
    left_out: list[str] = []
    for name in optional:
        if sum(widths.values()) + 2 * (len(widths) - 1) > console.width:
            left_out.append(name)
            del widths[name]
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [place for place, name in enumerate(columns) if name in widths]
    for place in shown:
        numbers = all(isinstance(row[place], int | float | None) for row in body)
        last = place == shown[-1]  # where the terminal is narrow still, the last column goes on in the next line
        justify: Literal["left", "right"] = "right" if numbers and body else "left"
        table.add_column(columns[place], justify=justify, no_wrap=not last, overflow="fold" if last else "ellipsis")
    for row in cells:
        table.add_row(*(row[place] for place in shown))
    if title:
        console.print(title)
    console.print(table)
    if left_out:
        console.print(f"left out, as this terminal is narrow: {', '.join(left_out)}")


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
