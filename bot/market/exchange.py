"""One market on one exchange: its closed candles and its ticker, through ccxt's own client.

Nothing that comes in is believed before it was checked, and every failure says whether trying again helps.
"""

import re
import time
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any, Final, NamedTuple

import requests

from bot.clock import Clock, bar_seconds, newest_closed
from bot.errors import ExchangeError, ExchangeRefusedError, UnknownSymbolError, UsageError
from bot.market.candles import BadCandlesError, Candle, validate_candles
from bot.market.limits import MarketLimits, parse_limits
from bot.market.transport import Answer, Session, TooLargeError, http_date
from bot.market.venue import NonsenseError, Venue, hint
from bot.settings import ExchangeSettings

REFUSED: Final = frozenset({401, 403, 451})
MOST_RETRY_AFTER: Final = 3600.0
_REAL_TIME: Final = 120.0  # a date this close to the machine's own clock was not written by a simulated one
_USUAL_PAGE: Final = 500
_ERRNO: Final = re.compile(r"\[Errno -?\d+\] ")
_DATE_STEP: Final = 1.0  # the header Date has whole seconds


class Ticker(NamedTuple):
    """Best prices and the last one traded, in quote currency."""

    bid: float
    ask: float
    last: float


class Feed:
    """The candles and the ticker of one market. One call at a time; `cut` may come from any thread.

    `skew` is how many seconds this clock is ahead of the exchange's, by the last answer's header Date: 0.0 where it
    lies within the request, None while nothing is known.

    Calls raise ExchangeError where trying again may help (with `retry_after`), ExchangeRefusedError where it soon
    does not, and UsageError for a symbol that the exchange's own list does not have.
    """

    def __init__(self, settings: ExchangeSettings, clock: Clock, venue: Venue | None = None) -> None:
        """`venue` is shared with the other markets of the exchange at that address, if there are any. No request is
        made here. Raises UsageError that names the setting that ccxt cannot serve.
        """
        self.skew: float | None = None
        self._settings = settings
        self._clock = clock
        self._bar = bar_seconds(settings.timeframe)
        self._session = Session(settings.timeout_seconds, clock.now)
        self._venue = venue or Venue(settings.id, settings.base_url, clock)
        self._client = self._venue.client(self._session)
        timeframes = self._client.timeframes or {}
        if timeframes.get(settings.timeframe) is None:
            known = ", ".join(timeframes)
            raise UsageError(f"exchange.timeframe = {settings.timeframe!r}: {settings.id} has {known}")
        self._venue.feeds.add(self)
        self._page = 0  # candles a request, once the market list was believed
        self._lacking = 0  # the number of the market list that did not have the symbol

    def closed_candles(self, since: int) -> list[Candle]:
        """Every candle with `bar_time >= since` that has closed by this clock and by the exchange's, in order of time.

        Never empty: raises ExchangeError where there is none, and where a whole page is missing before a later one.
        """
        found: list[Candle] = []
        hollow = False
        for page in self.pages(since, max(newest_closed(self._clock.now(), self._bar), since) + self._bar):
            if page and hollow:
                raise ExchangeError(f"{self._settings.id} left out a whole page of candles before {page[0].bar_time}")
            hollow = bool(found) and not page  # before the first candle, the market was not there yet
            found += page
        if not found:
            raise ExchangeError(f"{self._settings.id} has no closed candle since {since}")
        return found

    def pages(self, since: int, until: int) -> Iterator[list[Candle]]:
        """The closed candles with `since <= bar_time < until`, page by page; a page may be empty.

        Raises ExchangeError, too, where the exchange needs many more requests than so many candles should.
        """
        self._connect()
        start = -(-since // self._bar) * self._bar
        budget = 3 + 20 * (1 + max(until - start, 0) // self._bar // self._page)
        for _ in range(budget):
            limit = min(self._page, (until - start) // self._bar + 2)
            candles, horizon = self._candles(start, limit)
            rows = [candle for candle in candles if candle.bar_time >= start]
            yield [row for row in rows if row.bar_time < until and row.bar_time + self._bar <= horizon]
            start = rows[-1].bar_time + self._bar if rows else start + limit * self._bar
            if start >= until or start > self._clock.now():
                return
        raise ExchangeError(f"{self._settings.id} did not come to an end within {budget} pages of candles")

    def ticker(self) -> Ticker:
        """The market's best prices now. Raises ExchangeError where they are not positive numbers in order."""
        self._connect()
        quoted = self._ask(self._client.fetch_ticker, self._settings.symbol)
        prices = [quoted.get(name) for name in Ticker._fields]
        if not all(isinstance(price, float | int) and isfinite(price) and price > 0 for price in prices):
            raise ExchangeError(f"{self._settings.id} answers nonsense: a ticker of {prices}")
        ticker = Ticker(*map(float, prices))
        if ticker.bid > ticker.ask:
            raise ExchangeError(f"{self._settings.id} answers nonsense: it bids {ticker.bid} and asks {ticker.ask}")
        return ticker

    def limits(self) -> MarketLimits:
        """The market's smallest order and its step, by the exchange's own list."""
        self._connect()
        market = self._client.markets[self._settings.symbol]
        try:
            return parse_limits(market, self._client.precisionMode)
        except (TypeError, ValueError) as error:
            raise ExchangeError(f"{self._settings.id} answers nonsense: limits of {market.get('limits')}") from error

    @property
    def first_asked(self) -> float | None:
        """When the first request for the market began, by the machine's monotonic clock; None where there was none."""
        return self._session.first_asked

    def cut(self) -> None:
        """From any thread: the request in flight, or else the next one, fails at once with ExchangeError."""
        self._session.cut()

    def _connect(self) -> None:
        """Load the market list, unless it was, and believe it only if it looks like one."""
        if self._page:
            return
        settings, venue = self._settings, self._venue
        venue.load(self._load_markets, self._session, self._lacking)
        self._session.first_asked = None  # the list was for all of them; this market's own turn is yet to come
        number, self._client = venue.list_number, venue.client(self._session)
        if settings.symbol not in self._client.markets:
            self._lacking = number
            close = hint(settings.symbol, list(self._client.markets))
            raise UnknownSymbolError(f"exchange.symbol = {settings.symbol!r} is not a market of {settings.id}{close}")
        self._page = self._client.feature_value(settings.symbol, "fetchOHLCV", "limit", _USUAL_PAGE) or _USUAL_PAGE

    def _load_markets(self, client: Any) -> None:
        if not _believable(self._ask(client.load_markets, True)):  # noqa: FBT003 - ccxt's `reload`
            raise ExchangeError(f"{self._settings.id} answers nonsense: a list of markets without markets")

    def _candles(self, start: int, limit: int) -> tuple[list[Candle], float]:
        """What the exchange has from `start` on, checked, and the time until which candles have closed."""
        settings = self._settings
        asked = self._clock.now()
        rows = self._ask(self._client.fetch_ohlcv, settings.symbol, settings.timeframe, start * 1000, limit)
        ahead = self.skew or 0.0
        latest = self._clock.now() - min(ahead, 0.0) + self._bar
        try:
            candles = validate_candles(map(_candle, rows), self._bar)
        except BadCandlesError as error:
            raise ExchangeError(f"{settings.id} answers nonsense: {error}") from error
        if candles and candles[-1].bar_time > latest:
            raise ExchangeError(f"{settings.id} answers nonsense: a candle of {candles[-1].bar_time}, in the future")
        return candles, asked - ahead - _DATE_STEP if ahead > 0 else asked

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:
            # Any: ccxt's parsers run into TypeError, KeyError and the like where an answer has another shape.
            raise self._failure(error) from error
        finally:
            if answer := self._session.answer:
                self.skew = self._measured(answer)

    def _measured(self, answer: Answer) -> float | None:
        date = answer.date
        if date is None or (self._clock.simulated and abs(date - time.time()) <= _REAL_TIME):
            return None
        earliest, latest = answer.sent - _DATE_STEP, answer.received + _DATE_STEP
        return max(earliest - date, 0.0) + min(latest - date, 0.0)

    def _failure(self, error: Exception) -> ExchangeError:
        name, answer, cause = self._settings.id, self._session.answer, _cause(error)
        if answer and answer.status >= 300:
            status = f"HTTP {answer.status} {answer.reason}".strip()
            if answer.status in REFUSED:
                return ExchangeRefusedError(
                    f"{name} refuses to serve this machine: {status}", self._retry_after(answer)
                )
            return ExchangeError(f"{name} answered {status}", self._retry_after(answer))
        if isinstance(cause, requests.Timeout):
            return ExchangeError(f"{name} did not answer within {self._settings.timeout_seconds:g} s")
        if isinstance(cause, OSError) and not isinstance(
            cause, TooLargeError
        ):  # every error of sockets, and of requests
            return ExchangeError(f"{name} cannot be reached: {_ERRNO.sub('', str(cause))[:200]}")
        problem = str(cause) if isinstance(cause, NonsenseError | TooLargeError) else f"{type(cause).__name__}: {cause}"
        return ExchangeError(f"{name} answers nonsense: {problem[:200]}")

    def _retry_after(self, answer: Answer) -> float:
        header = answer.headers.get("Retry-After", "").strip()
        date = http_date(header)
        if header.isdecimal():
            seconds = float(header)
        elif date is not None:
            seconds = date - (self._clock.now() if answer.date is None else answer.date)
        else:
            return 0.0
        return min(max(seconds, 0.0), MOST_RETRY_AFTER)


def _candle(row: Any) -> Candle:
    """A row of ccxt, [milliseconds, open, high, low, close, volume], as a candle."""
    if len(row) < 6 or any(number is None for number in row[:6]):
        raise BadCandlesError(f"the row {row} is not a candle")
    milliseconds, opened, high, low, close, volume = row[:6]
    if milliseconds % 1000 or milliseconds <= 0:
        raise BadCandlesError(f"the row {row} does not start at a whole second since 1970")
    return Candle(int(milliseconds) // 1000, float(opened), float(high), float(low), float(close), float(volume))


def _believable(markets: Any) -> bool:
    """Whether at least half of what should be markets have names such as BTC/USD."""
    named = [all(any(map(str.isalpha, part)) for part in str(name).partition("/")[::2]) for name in markets or ()]
    return bool(named) and 2 * sum(named) >= len(named)


def _cause(error: BaseException) -> BaseException:
    """The first failure, from which `error` came."""
    while before := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = before
    return error
