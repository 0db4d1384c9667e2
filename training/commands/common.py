"""What the subcommands of `hourhand-train` share."""

import argparse
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.console import print_result
from training.data import Market, load_markets


def add_candles(parser: argparse.ArgumentParser) -> None:
    """`--candles FILE …`, of one market or several, and `--same-coin`."""
    parser.add_argument(
        "--candles",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="CSV, csv.gz, Parquet or JSON; give several files or patterns for several markets",
    )
    parser.add_argument(
        "--same-coin", action="store_true", help="use every file in full (default: each hour of a coin counts once)"
    )


def read_markets(parsed_args: argparse.Namespace) -> list[Market]:
    """The markets of `--candles`; what does not count of them is said on standard error."""
    return load_markets(
        parsed_args.candles,
        parsed_args.timeframe,
        same_coin=parsed_args.same_coin,
        warn=lambda sentence: print(sentence, file=sys.stderr),
    )


def add_span(parser: argparse.ArgumentParser) -> None:
    """`--from DATE` and `--to DATE`, as `since` and `until`: which candles."""
    parser.add_argument("--from", dest="since", type=utc_date, metavar="DATE", help="first candle (UTC, inclusive)")
    parser.add_argument("--to", dest="until", type=utc_date, metavar="DATE", help="end of the candles (UTC, exclusive)")


def add_hyperparameters(parser: argparse.ArgumentParser) -> None:
    """`--config FILE`: the trainer's settings."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="hyper-parameters (config/training.toml)")


def whole_number(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `least` to 2**63 - 1."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) < 2**63:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more, below 2**63")
        return int(text)

    return parse


def utc_date(text: str) -> int:
    """Unix seconds of a date or time such as 2021-01-01 or 2021-01-01T12:00, in UTC unless it says otherwise.

    Raises argparse.ArgumentTypeError for anything else.
    """
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date: write for example 2021-01-01") from error


def tell(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a description: one JSON object, or lines for people."""
    print_result(facts if as_json else {name: _plain(name, fact) for name, fact in facts.items()}, as_json=as_json)


def _plain(name: str, fact: Any) -> Any:
    if name == "gaps":
        rest = f" and {len(fact) - 8} more" if len(fact) > 8 else ""
        return ", ".join(f"{gap['from']} ({gap['bars']})" for gap in fact[:8]) + rest or "none"
    if isinstance(fact, dict):
        return f"{fact['value']:,.6g} at {fact['at']}"
    return fact if fact != "" else None
