"""`hourhand-train import`."""

import argparse
from pathlib import Path

from bot.console import add_json
from training.commands.common import tell
from training.data import ENDINGS, Origin, check_ending, describe, read_series, write_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `import`."""
    parser.description = """\
Read candles, check them, and write them to one file. Several files of one market are merged. Reads CSV, csv.gz, Parquet
and JSON with this project's or ccxt's columns, and the files of other programs and archives:
  freqtrade           BTC_USDT-1h.feather, BTC_USDT-1h.json, BTC_USDT-1h.json.gz
  Binance             BTCUSDT-1h-2021-01.zip, or the CSV in it; times in milliseconds or microseconds
  CryptoDataDownload  Bitfinex_BTCUSD_1h.csv, newest first or last, with or without its comment line"""
    parser.epilog = (
        "example: hourhand-train import history.csv --out btcusd_1h.parquet --exchange bitfinex\n"
        "         hourhand-train import BTCUSDT-1h-*.zip --out btcusdt_1h.parquet"
    )
    parser.add_argument(
        "file", type=Path, nargs="+", metavar="FILE", help="a file of candles, or several of one market"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=f"{', '.join(ENDINGS)}")
    parser.add_argument("--exchange", default="", help="the candles' exchange (default: from the file or its name)")
    parser.add_argument("--symbol", default="", help="their symbol, for example BTC/USD (likewise)")
    parser.add_argument("--timeframe", default="", help="the length of a bar (likewise, else 1h)")
    add_json(parser)


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    check_ending(parsed_args.out)
    candles, origin = read_series(parsed_args.file, parsed_args.timeframe)
    origin = Origin(parsed_args.exchange or origin.exchange, parsed_args.symbol or origin.symbol, origin.timeframe)
    write_file(parsed_args.out, candles, origin)
    tell({"file": str(parsed_args.out), **describe(candles, origin)}, as_json=parsed_args.json)
    return 0
