"""One exchange at one address: its pace, its client and its list of markets, shared by the feeds of its markets."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from copy import copy
from difflib import get_close_matches
from threading import Lock
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

from bot.clock import Clock
from bot.errors import UsageError
from bot.market.transport import Session


class NonsenseError(Exception):
    """A reply of which ccxt's parsers would make something that was not sent."""


class Venue:
    """What the markets of one exchange at one address share. Calls may come from any thread.

    Requests start no sooner after each other than ccxt's `rateLimit` and the cost of the call ask for, in seconds of
    `clock`. A single market at a `base_url` is not held back: a proxy or a simulator has its own idea of a pace.
    """

    def __init__(self, exchange_id: str, base_url: str, clock: Clock) -> None:
        """No request is made here. Raises UsageError that names the setting that ccxt cannot serve."""
        self.feeds: WeakSet[Any] = WeakSet()
        self.list_number = 0  # of the list of markets in the client, 0 where there is none
        self._id, self._base_url, self._clock = exchange_id, base_url, clock
        self._client = self._new_client()
        self._lock = Lock()
        self._free_at = 0.0  # on the machine's monotonic clock
        self._loading: Future[None] | None = None

    def client(self, session: Session) -> Any:
        """A client for one feed: its own session, everything else shared."""
        client = copy(self._client)
        client.session = session
        return client

    def load(self, load: Callable[[Any], object], session: Session, newer_than: int) -> None:
        """Have a list of markets with a larger number than `newer_than`: one feed's `load(client)` asks for it, the
        others wait for that one's answer or failure.

        Raises what `load` raises.
        """
        with self._lock:
            if self.list_number > newer_than:
                return
            others, self._loading = self._loading, self._loading or Future()
            mine = self._loading
        if others is not None:
            others.result()
            return
        try:
            client = self._new_client()  # some clients keep what they were told, right or wrong
            client.session = session
            load(client)
        except BaseException as error:
            with self._lock:
                self._loading = None
            mine.set_exception(error)
            raise
        client.session = None
        with self._lock:
            self._client, self.list_number, self._loading = client, self.list_number + 1, None
        mine.set_result(None)

    def turn(self, cost: float) -> float:
        """Seconds of the machine until the next request, of this cost, may start. Its place is taken by asking."""
        paced = not self._base_url or len(self.feeds) > 1
        seconds = self._clock.real(self._client.rateLimit / 1000 * cost) if paced else 0.0
        with self._lock:
            now = time.monotonic()
            start = max(now, self._free_at)
            self._free_at = start + seconds
        return start - now

    def _new_client(self) -> Any:
        import ccxt  # noqa: PLC0415 - a third of a second and 55 MB that `status` and the like do without

        if self._id not in ccxt.exchanges:
            raise UsageError(f"exchange.id = {self._id!r} is not one that ccxt knows{hint(self._id, ccxt.exchanges)}")
        # It would make a session of its own if it were given none.
        client = _strict(getattr(ccxt, self._id))({"session": object(), "enableRateLimit": True})
        if client.has["fetchOHLCV"] is not True:
            raise UsageError(f"exchange.id = {self._id!r} is an exchange without candles")
        if self._base_url:
            client.urls["api"] = _moved(client.urls["api"], _base(self._base_url))
        client.venue = self
        return client


def hint(name: str, known: list[str]) -> str:
    """Names that may have been meant, as the end of a sentence."""
    close = get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _strict(base: Any) -> Any:
    """The exchange's class of ccxt, which takes text for "no candles" and drops rows without a time, made strict, and
    held to the pace of its venue.
    """

    def fetch(client: Any, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        reply = base.fetch(client, url, method, headers, body)
        if client.session.answer.status >= 300:
            raise NonsenseError("a redirection")
        if not isinstance(reply, list | dict):
            raise NonsenseError("something that is not JSON")
        if reply == {} or (isinstance(reply, list) and reply[:1] == ["error"]):
            raise NonsenseError(f"{str(reply)[:120]} instead of data")
        return reply

    def parse_ohlcvs(client: Any, rows: Any, market: Any = None, timeframe: str = "1m", *_: Any, **__: Any) -> Any:
        return base.parse_ohlcvs(client, rows, market, timeframe)  # without `since`, it drops nothing

    def throttle(client: Any, cost: float | None = None) -> None:
        client.session.wait(client.venue.turn(1.0 if cost is None else cost))

    return type(base.__name__, (base,), {"fetch": fetch, "parse_ohlcvs": parse_ohlcvs, "throttle": throttle})


def _base(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"exchange.base_url = {url!r} is not an address: write for example http://127.0.0.1:8080")
    return url.rstrip("/")


def _moved(urls: Any, base: str) -> Any:
    """Ccxt's addresses, a text or a table of them, with `base` for scheme and host; paths stay."""
    if isinstance(urls, dict):
        return {name: _moved(url, base) for name, url in urls.items()}
    return base + urlsplit(urls).path if isinstance(urls, str) else urls
