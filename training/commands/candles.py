"""`hourhand-train candles`."""

import argparse
from pathlib import Path

from bot.console import add_json
from training.commands.common import tell
from training.data import describe, read_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `candles`."""
    parser.description = "Describe a file of candles: span, gaps, bars without volume, extremes."
    parser.epilog = "example: hourhand-train candles btcusd_1h.parquet --json"
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV, csv.gz, Parquet or JSON")
    parser.add_argument("--timeframe", default="", help="if the file does not say (1h)")
    add_json(parser)


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    candles, origin = read_file(parsed_args.file, parsed_args.timeframe)
    tell({"file": str(parsed_args.file), **describe(candles, origin)}, as_json=parsed_args.json)
    return 0
