"""`hourhand-train download`: an exchange's closed candles, page by page, into a file that is whole at any moment."""

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec

from bot.candles import Candle, bar_seconds, newest_closed
from bot.clock import Clock, utc
from bot.commands.common import add_config, add_json, read_settings
from bot.commands.tables import progress
from bot.errors import ExchangeError, ExchangeRefusedError, UsageError
from bot.exchange import Feed
from bot.settings import ExchangeSettings
from training.candles import ENDINGS, Origin, check_ending, describe, read_file, tell, utc_date, write_file

SAVE_EVERY: Final = 5.0
WAITS: Final = (1.0, 2.0, 4.0)
LONGEST_WAIT: Final = 30.0


def start_of(path: Path, origin: Origin) -> list[Candle]:
    """What the file already holds, nothing where there is no file. Raises UsageError where it is of another market."""
    if not path.exists():
        return []
    candles, told = read_file(path, origin.timeframe)
    for name, mine, other in zip(Origin._fields, origin, told, strict=True):
        if other and other != mine:
            raise UsageError(f"{path} holds candles of another {name} ({other}, not {mine}): choose another --out")
    return candles


def pages(feed: Feed, start: int, until: int, bar: int, wait: Callable[[float], None]) -> Iterator[list[Candle]]:
    """The closed candles with `start <= bar_time < until`, page by page, with patience.

    A trouble that may pass is tried again after 1, 2 and 4 seconds, or when the exchange asks for it, up to 30
    seconds. Raises ExchangeError where it stays.
    """
    failures = 0
    while start < until:
        try:
            for page in feed.pages(start, until):
                failures = 0
                start = page[-1].bar_time + bar if page else start
                yield page
        except ExchangeError as error:
            if isinstance(error, ExchangeRefusedError) or failures == len(WAITS) or error.retry_after > LONGEST_WAIT:
                raise
            wait(max(WAITS[failures], error.retry_after))
            failures += 1
        else:
            return


def download(
    feed: Feed,
    path: Path,
    origin: Origin,
    since: int,
    until: int,
    *,
    progress: Callable[[int], None],
    wait: Callable[[float], None] = time.sleep,
) -> list[Candle]:
    """Bring the file up to the candles with `since <= bar_time < until`: those before the first that it holds, where
    there are any, and those after the last.

    The file is rewritten whole every few seconds, at the end, and when anything stops the download. `progress` is told
    the time up to which there are candles. Raises UsageError as `start_of`, ExchangeError as `pages` and where the
    exchange has nothing there.
    """
    bar = bar_seconds(origin.timeframe)
    kept = start_of(path, origin)
    earlier = list(chain.from_iterable(pages(feed, since, kept[0].bar_time, bar, wait))) if kept else []
    candles, saved = earlier + kept, len(kept)
    due = time.monotonic() + SAVE_EVERY
    try:
        for page in pages(feed, candles[-1].bar_time + bar if candles else since, until, bar, wait):
            candles += page
            progress(candles[-1].bar_time + bar if candles else since)
            if time.monotonic() > due and len(candles) > saved:
                write_file(path, candles, origin)
                saved, due = len(candles), time.monotonic() + SAVE_EVERY
    finally:
        if len(candles) > saved:
            write_file(path, candles, origin)
    if not candles:
        raise ExchangeError(f"{origin.exchange} has no candles of {origin.symbol} from {utc(since)} on")
    return candles


def add_download(parser: argparse.ArgumentParser) -> None:
    """Arguments of `download`."""
    parser.description = (
        "Fetch closed candles of any exchange that ccxt knows, page by page. Started again with the same file,\n"
        "it goes on after the last candle there."
    )
    parser.epilog = (
        "example: hourhand-train download --exchange bitfinex --symbol BTC/USD --since 2018-01-01 --out btcusd.parquet"
    )
    parser.add_argument("--exchange", metavar="ID", help="ccxt's name of the exchange (that of the settings)")
    parser.add_argument("--symbol", metavar="S", help="for example BTC/USD (that of the settings)")
    parser.add_argument("--timeframe", metavar="T", help="for example 1h (that of the settings)")
    parser.add_argument("--since", type=utc_date, required=True, metavar="DATE", help="first bar, UTC")
    parser.add_argument("--until", type=utc_date, metavar="DATE", help="bar after the last, UTC (as late as there are)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=", ".join(ENDINGS))
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=_download_command)


def _settings(arguments: argparse.Namespace) -> tuple[ExchangeSettings, Clock]:
    settings, clock = read_settings(arguments)
    told = {"id": arguments.exchange, "symbol": arguments.symbol, "timeframe": arguments.timeframe}
    return msgspec.structs.replace(settings.exchange, **{key: text for key, text in told.items() if text}), clock


def _download_command(arguments: argparse.Namespace) -> int:
    check_ending(arguments.out)
    settings, clock = _settings(arguments)
    bar = bar_seconds(settings.timeframe)
    origin = Origin(settings.id, settings.symbol, settings.timeframe)
    since = -(-arguments.since // bar) * bar
    closed = newest_closed(clock.now(), bar) + bar
    until = min(closed, arguments.until) if arguments.until is not None else closed
    if since >= until:
        raise UsageError(f"there is no closed candle between --since {utc(since)} and {utc(until)}")
    with progress(f"{origin.exchange} {origin.symbol}", (until - since) // bar) as shown:

        def reached(end: int) -> None:
            shown(max(end - since, 0) // bar, (until - since) // bar)

        candles = download(Feed(settings, clock), arguments.out, origin, since, until, progress=reached)
    tell({"file": str(arguments.out), **describe(candles, origin)}, as_json=arguments.json)
    return 0
