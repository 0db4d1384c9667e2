"""What the subcommands share: options, settings and clock, and how a result is shown."""

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def add_accounts(parser: ArgumentParser) -> None:
    """`--account A`, which may be repeated."""
    parser.add_argument(
        "--account", action="append", metavar="A", help="only this one; may be repeated (default: all on the market)"
    )


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
        print(f"{name.replace('_', ' '):<{width}}  {plain(value)}")


def plain(value: Any) -> str:
    """A cell for people: thousands apart, money to the cent, small numbers to eight digits."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.8f}".rstrip("0").rstrip(".") if abs(value) < 100 else f"{value:,.2f}"
    return str(value)
