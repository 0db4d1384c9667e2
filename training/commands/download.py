"""`hourhand-train download`."""

import argparse
from pathlib import Path

import msgspec

from bot.clock import Clock, bar_seconds, newest_closed, utc
from bot.console import add_config, add_json, progress, read_settings
from bot.errors import UsageError
from bot.market import Feed
from bot.settings import ExchangeSettings
from training.commands.common import tell, utc_date
from training.data import ENDINGS, Origin, check_ending, describe, download_candles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `download`."""
    parser.description = (
        "Fetch closed candles of any exchange that ccxt supports, page by page. Started again with the same file,\n"
        "it continues after the last candle in it."
    )
    parser.epilog = (
        "example: hourhand-train download --exchange bitfinex --symbol BTC/USD --since 2018-01-01 --out btcusd.parquet"
    )
    parser.add_argument("--exchange", metavar="ID", help="ccxt's name of the exchange (as in the settings)")
    parser.add_argument("--symbol", metavar="S", help="for example BTC/USD (as in the settings)")
    parser.add_argument("--timeframe", metavar="T", help="for example 1h (as in the settings)")
    parser.add_argument("--since", type=utc_date, required=True, metavar="DATE", help="first bar, UTC")
    parser.add_argument("--until", type=utc_date, metavar="DATE", help="end, exclusive, UTC (the newest closed bar)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=", ".join(ENDINGS))
    add_config(parser)
    add_json(parser)


def _settings(parsed_args: argparse.Namespace) -> tuple[ExchangeSettings, Clock]:
    settings, clock = read_settings(parsed_args)
    overrides = {"id": parsed_args.exchange, "symbol": parsed_args.symbol, "timeframe": parsed_args.timeframe}
    return msgspec.structs.replace(settings.exchange, **{key: text for key, text in overrides.items() if text}), clock


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    check_ending(parsed_args.out)
    settings, clock = _settings(parsed_args)
    bar = bar_seconds(settings.timeframe)
    origin = Origin(settings.id, settings.symbol, settings.timeframe)
    since = -(-parsed_args.since // bar) * bar
    closed = newest_closed(clock.now(), bar) + bar
    until = min(closed, parsed_args.until) if parsed_args.until is not None else closed
    if since >= until:
        raise UsageError(f"there is no closed candle between --since {utc(since)} and {utc(until)}")
    with progress(f"{origin.exchange} {origin.symbol}", (until - since) // bar) as shown:

        def reached(end: int) -> None:
            shown(max(end - since, 0) // bar, (until - since) // bar)

        candles = download_candles(Feed(settings, clock), parsed_args.out, origin, since, until, progress=reached)
    tell({"file": str(parsed_args.out), **describe(candles, origin)}, as_json=parsed_args.json)
    return 0
