"""`hourhand-train import`."""

import argparse
from pathlib import Path

from bot.console import add_json
from training.commands.common import tell
from training.data import ENDINGS, Origin, check_ending, describe, read_file, write_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `import`."""
    parser.description = "Read candles from CSV, csv.gz, Parquet or JSON, check them, and write them with their origin."
    parser.epilog = "example: hourhand-train import history.csv --out btcusd_1h.parquet --exchange bitfinex"
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV, csv.gz, Parquet, or the article's JSON")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=f"{', '.join(ENDINGS)}")
    parser.add_argument("--exchange", default="", help="where the candles are from")
    parser.add_argument("--symbol", default="", help="what they are of, for example BTC/USD")
    parser.add_argument("--timeframe", default="", help="where the file does not say (1h)")
    add_json(parser)


def call(arguments: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    check_ending(arguments.out)
    candles, origin = read_file(arguments.file, arguments.timeframe)
    origin = Origin(arguments.exchange or origin.exchange, arguments.symbol or origin.symbol, origin.timeframe)
    write_file(arguments.out, candles, origin)
    tell({"file": str(arguments.out), **describe(candles, origin)}, as_json=arguments.json)
    return 0
