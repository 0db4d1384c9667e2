"""What Bitfinex would say about a list of candles at a given moment: rows, ticker, lists of markets."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from bot.market import Candle

Row = list[Any]
"""Bitfinex's order: [milliseconds, open, close, high, low, volume]."""

TIMEFRAMES: Final = {
    60: "1m",
    300: "5m",
    900: "15m",
    1800: "30m",
    3600: "1h",
    10800: "3h",
    21600: "6h",
    43200: "12h",
    86400: "1D",
}
_BASES: Final = ("BTC", "ETH", "LTC", "XRP", "SOL", "ADA", "DOT", "UNI", "XLM", "TRX", "ZEC", "ETC", "FIL", "XTZ")
_HALF_SPREAD: Final = 0.00005
_LIMITS: Final = [None, None, None, "0.00004", "2000.0", None, None, None, 0.2, 0.1, None, None]


class Shown(NamedTuple):
    """The rows of an answer in order of time. `opened` is the open time of the bar that is forming, `final` what its
    row will be once it has closed (None where no trade is ever made in it); all times in milliseconds.
    """

    rows: list[Row]
    opened: int
    bar: int
    final: Row | None


class Market:
    """Candles of `bar` seconds in order of time, as seen from any moment on; never changed once it is made."""

    def __init__(self, candles: Sequence[Candle], bar: int, symbol: str = "BTC/USD") -> None:
        self.candles = list(candles)
        self.bar = bar
        self.symbol, self.currencies = symbol, symbol.split("/")
        self._times = [candle.bar_time for candle in self.candles]

    @property
    def pair(self) -> str:
        """The exchange's own name of the market, for example BTCUSD."""
        return "".join(self.currencies)

    def shown(self, now: float, start: float, end: float) -> Shown:
        """The candles that have opened at `now`, with bar times from `start` to `end`, both included, in seconds."""
        opened = int(now // self.bar) * self.bar
        first = bisect_left(self._times, start)
        rows = [_row(candle) for candle in self.candles[first : bisect_right(self._times, min(end, opened - 1))]]
        at = bisect_left(self._times, opened)
        final = self.candles[at] if at < len(self._times) and self._times[at] == opened else None
        if final and start <= opened <= end:
            rows.append(_row(_so_far(final, (now - opened) / self.bar)))
        return Shown(rows, opened * 1000, self.bar * 1000, _row(final) if final else None)

    def ticker(self, now: float) -> list[float] | None:
        """Bitfinex's ticker: bid, size, ask, size, change, relative change, last, volume, high, low (of a day)."""
        rows = self.shown(now, now - 86400, now).rows or [_row(candle) for candle in self._before(now)]
        if not rows:
            return None
        before, last = rows[0][1], rows[-1][2]
        return [
            last * (1 - _HALF_SPREAD),
            10.0,
            last * (1 + _HALF_SPREAD),
            10.0,
            last - before,
            last / before - 1,
            last,
            sum(row[5] for row in rows),
            max(row[3] for row in rows),
            min(row[4] for row in rows),
        ]

    def _before(self, now: float) -> list[Candle]:
        at = bisect_left(self._times, now - self.bar)
        return self.candles[max(at - 1, 0) : at]


def conf(markets: Sequence[Market], labels: str) -> list[Any]:
    """The configuration lists with these labels, comma between them, those that are not known empty."""
    pairs = [market.pair for market in markets]
    known: dict[str, list[Any]] = {
        "pub:info:pair": [[pair, _LIMITS] for pair in pairs],
        "pub:list:pair:exchange": pairs,
        "pub:list:pair:margin": pairs,
        "pub:list:currency": list(dict.fromkeys(name for market in markets for name in market.currencies)),
    }
    return [known.get(label, []) for label in labels.split(",")]


def symbols(count: int) -> list[str]:
    """So many symbols against the dollar, Bitcoin's first."""
    made = [f"X{number:02d}" for number in range(count)]
    return [f"{base}/USD" for base in [*_BASES, *made][:count]]


def _row(candle: Candle) -> Row:
    return [candle.bar_time * 1000, candle.open, candle.close, candle.high, candle.low, candle.volume]


def _so_far(candle: Candle, part: float) -> Candle:
    """The candle while it forms, with `part` of its bar gone: it moves from open to close, its range with it."""
    close = candle.open + (candle.close - candle.open) * part
    high = max(candle.open, close) + (candle.high - max(candle.open, candle.close)) * part
    low = min(candle.open, close) - (min(candle.open, candle.close) - candle.low) * part
    return candle._replace(high=high, low=low, close=close, volume=candle.volume * part)
