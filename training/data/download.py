"""`hourhand-train download`: an exchange's closed candles, page by page, into a file that is whole at any moment."""

import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from bot.clock import bar_seconds, utc
from bot.errors import ExchangeError, ExchangeRefusedError, UsageError
from bot.market import Candle, Feed
from training.data.files import Origin, read_file, write_file

SAVE_EVERY: Final = 5.0
WAITS: Final = (1.0, 2.0, 4.0)
MAX_RETRY_WAIT: Final = 30.0


def start_of(path: Path, origin: Origin) -> list[Candle]:
    """What the file already holds, nothing where there is no file. Raises UsageError where it is of another market."""
    if not path.exists():
        return []
    candles, stored = read_file(path, origin.timeframe)
    for name, mine, other in zip(Origin._fields, origin, stored, strict=True):
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
            if isinstance(error, ExchangeRefusedError) or failures == len(WAITS) or error.retry_after > MAX_RETRY_WAIT:
                raise
            wait(max(WAITS[failures], error.retry_after))
            failures += 1
        else:
            return


def download_candles(
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

    The file is rewritten whole every few seconds, at the end, and when anything stops the download. `progress` receives
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
