"""The feed against answers written by hand: the other exchanges, and replies of any shape."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.clock import Clock
from bot.errors import ExchangeError
from bot.market import Candle, Feed
from bot.market.candles import find_flaw
from bot.market.exchange import Ticker
from bot.settings import ExchangeSettings
from bot.simulator import generate_candles
from bot.simulator.generate import START

HOUR = 3600
CANDLES = generate_candles(1000, seed=3, holes=0, quiet=0)
NOW = START + 990 * HOUR + 1800.0
CLOCK = Clock(start=NOW, source=lambda: 0.0, simulated=True)

Answer = Callable[[str, dict[str, str]], Any]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A server of what `answer` makes of path and query: bytes as they are, anything else as JSON. Its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the standard library
            """Quiet."""

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            reply = answer(parts.path, {key: values[-1] for key, values in parse_qs(parts.query).items()})
            body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            head = f"HTTP/1.1 {'404 Not Found' if reply is None else '200 OK'}\r\nContent-Length: {len(body)}\r\n"
            self.wfile.write(f"{head}Content-Type: application/json\r\nConnection: close\r\n\r\n".encode() + body)
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def feed_of(url: str, name: str = "bitfinex", timeout: float = 60.0) -> Feed:
    return Feed(ExchangeSettings(id=name, base_url=url, timeout_seconds=timeout), CLOCK)


def opened(first: float, last: float) -> list[Candle]:
    return [candle for candle in CANDLES if first <= candle.bar_time <= min(last, NOW)]


# ---- the other exchanges, as their own documentation says that they answer


def kraken(path: str, query: dict[str, str]) -> Any:
    match path:
        case "/0/public/Assets":
            result: Any = {
                "XXBT": {"aclass": "currency", "altname": "XBT", "decimals": 10, "status": "enabled"},
                "ZUSD": {"aclass": "currency", "altname": "USD", "decimals": 4, "status": "enabled"},
            }
        case "/0/public/AssetPairs":
            pair = {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD"}
            result = {"XXBTZUSD": pair | {"pair_decimals": 1, "lot_decimals": 8, "status": "online", "ordermin": "1"}}
        case "/0/public/OHLC":
            newest = opened(0, NOW)[-720:]  # whatever `since` says
            rows = [row for row in newest if row.bar_time > int(query["since"])]
            quoted = [[row.bar_time, *map(str, row[1:5]), "0", str(row.volume), 7] for row in rows]
            result = {"XXBTZUSD": quoted, "last": 0}
        case "/0/public/Ticker":
            result = {"XXBTZUSD": {"a": ["101.5", "1", "1"], "b": ["101.0", "1", "1"], "c": ["101.2", "0.1"]}}
        case _:
            return None
    return {"error": [], "result": result}


def bitstamp(path: str, query: dict[str, str]) -> Any:
    match path:
        case "/api/v2/markets/":
            market = {"name": "BTC/USD", "market_symbol": "btcusd", "base_currency": "BTC", "counter_currency": "USD"}
            rest = {"base_decimals": 8, "counter_decimals": 0, "minimum_order_value": "10", "trading": "Enabled"}
            return [market | rest | {"market_type": "SPOT", "description": "Bitcoin / U.S. dollar"}]
        case "/api/v2/ohlc/btcusd/":
            assert int(query["limit"]) <= 1000
            names = ("timestamp", "open", "high", "low", "close", "volume")
            rows = opened(int(query["start"]), int(query["end"]))[: int(query["limit"])]
            quoted = [dict(zip(names, map(str, row[:6]), strict=True)) for row in rows]
            return {"data": {"pair": "BTC/USD", "ohlc": quoted}}
        case "/api/v2/ticker/btcusd/":
            return {"bid": "101.0", "ask": "101.5", "last": "101.2", "timestamp": "1577836800", "pair": "BTC/USD"}
    return None


def coinbase(path: str, query: dict[str, str]) -> Any:
    match path:
        case "/currencies":
            return [{"id": name, "name": name, "status": "online", "max_precision": "0.01"} for name in ("BTC", "USD")]
        case "/products":
            return [{"id": "BTC-USD", "base_currency": "BTC", "quote_currency": "USD", "status": "online"}]
        case "/products/BTC-USD/candles":
            first, last = (int(datetime.fromisoformat(query[name]).timestamp()) for name in ("start", "end"))
            assert first % HOUR == 0
            assert (last - first) // HOUR < 300
            return [[row.bar_time, row.low, row.high, row.open, row.close, row.volume] for row in opened(first, last)][
                ::-1
            ]
        case "/products/BTC-USD/ticker":
            return {"bid": "101.0", "ask": "101.5", "price": "101.2", "time": "2020-01-28T02:13:33.012523Z"}
    return None


@pytest.mark.parametrize(
    ("name", "answer"), [("kraken", kraken), ("bitstamp", bitstamp), ("coinbaseexchange", coinbase)]
)
def test_other_exchanges_are_served_by_their_id_alone(name: str, answer: Answer) -> None:
    closed = CANDLES[:990]
    with answering(answer) as url:
        feed = feed_of(url, name)
        assert feed.closed_candles(START + 980 * HOUR + 60) == closed[981:]
        assert feed.closed_candles(START + 300 * HOUR) == closed[300:]
        assert feed.closed_candles(START) == (closed[-719:] if name == "kraken" else closed)
        assert feed.ticker() == Ticker(101.0, 101.5, 101.2)


def test_a_path_in_the_base_url_stays_in_front() -> None:
    with answering(lambda path, query: kraken(path.removeprefix("/proxy"), query)) as url:
        assert feed_of(f"{url}/proxy/", "kraken").closed_candles(START + 980 * HOUR) == CANDLES[980:990]


# ---- paging


def bitfinex(rows: Callable[[dict[str, str]], Any]) -> Answer:
    """Bitfinex's lists of markets, and `rows` for candles."""

    def answer(path: str, query: dict[str, str]) -> Any:
        if "pub:list:currency" in path:
            return [["BTC", "USD"], *[[]] * 10]
        if "/conf/" in path:
            return [[["BTCUSD", [None] * 12]], [], [], []]
        return rows(query)

    return answer


def row(candle: Candle) -> list[float]:
    return [candle.bar_time * 1000, candle.open, candle.close, candle.high, candle.low, candle.volume]


def test_a_page_that_is_shorter_than_asked_for_is_not_the_end() -> None:
    def seven(query: dict[str, str]) -> Any:
        return [row(candle) for candle in opened(int(query["start"]) / 1000, NOW)[:7]]

    with answering(bitfinex(seven)) as url:
        assert feed_of(url).closed_candles(START + 940 * HOUR) == CANDLES[940:990]


def test_a_page_left_out_between_two_others_is_an_error() -> None:
    early, late = [CANDLES[0]._replace(bar_time=START - 15_000 * HOUR)], opened(START + 980 * HOUR, NOW)
    answers: list[Any] = []

    def not_the_second(query: dict[str, str]) -> Any:
        answers.append(query)
        return [row(candle) for candle in {1: early, 2: []}.get(len(answers), late)]

    clock = Clock(start=START + 20_000 * HOUR, source=lambda: 0.0, simulated=True)
    with answering(bitfinex(not_the_second)) as url:
        feed = Feed(ExchangeSettings(base_url=url), clock)
        with pytest.raises(ExchangeError, match="left out a whole page"):
            feed.closed_candles(START - 15_000 * HOUR)


def test_a_market_younger_than_what_is_asked_for_begins_after_an_empty_page() -> None:
    late = opened(START + 980 * HOUR, NOW)
    answers: list[Any] = []

    def second_only(query: dict[str, str]) -> Any:
        answers.append(query)
        return [] if len(answers) == 1 else [row(candle) for candle in late]

    clock = Clock(start=START + 20_000 * HOUR, source=lambda: 0.0, simulated=True)
    with answering(bitfinex(second_only)) as url:
        feed = Feed(ExchangeSettings(base_url=url), clock)
        assert list(feed.pages(START - 9_900 * HOUR, START + 989 * HOUR)) == [[], late[:9]]
        answers.clear()
        assert feed.closed_candles(START - 9_900 * HOUR)[0] == late[0]


def test_an_exchange_that_never_comes_to_an_end_is_given_up() -> None:
    def one(query: dict[str, str]) -> Any:
        return [row(candle) for candle in opened(int(query["start"]) / 1000, NOW)[:1]]

    with answering(bitfinex(one)) as url, pytest.raises(ExchangeError, match="did not come to an end within 23 pages"):
        feed_of(url).closed_candles(START)


# ---- replies of any shape

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("BTCUSD"),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
NEARLY = st.lists(
    st.builds(
        lambda hour, cell, junk: [junk if at == cell else number for at, number in enumerate(row(CANDLES[hour]))],
        st.integers(960, 999),
        st.integers(0, 12),
        JUNK,
    ),
    max_size=6,
)


def test_whatever_comes_back_it_is_an_error_or_candles_that_were_served() -> None:
    answer: dict[str, Any] = {}

    @settings(max_examples=100, deadline=None)
    @given(candles=JUNK | NEARLY | st.binary(max_size=40), everything=st.booleans())
    def holds(candles: Any, everything: bool) -> None:
        answer.update(candles=candles, everything=everything)
        try:
            found = feed_of(url).closed_candles(START + 960 * HOUR)
        except ExchangeError as error:
            assert str(error).startswith("bitfinex ")  # noqa: PT017 - either is right
            return
        assert found
        assert all(find_flaw(candle, HOUR) is None and candle.bar_time + HOUR <= NOW for candle in found)
        served = {(int(cells[0]) // 1000, cells[5]) for cells in candles}
        assert {(candle.bar_time, candle.volume) for candle in found} <= served

    lists = bitfinex(lambda _: answer["candles"])
    with answering(lambda path, query: answer["candles"] if answer["everything"] else lists(path, query)) as url:
        holds()


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "2"], [None] * 6, [True] * 6, [[]] * 6, [{}], ["a"] * 6, [1580000400000, 1, 1, 1, 1], 5, "text", None, [],
        [1580000400000, "NaN", 1, 1, 1, 1], [1580000400000, "Infinity", 1, 1, 1, 1], [1580000400000, 1, 1, 1, 1, None],
        [1580000400500, 1, 1, 1, 1, 1], [None, 1, 1, 1, 1, 1], ["x", 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1e999],
        [-1580000400000, 1, 1, 1, 1, -1], [1580000400000, 1, 1, 1, 1, -1], [0.5, 1, 1, 1, 1, 1],
    ],
)  # fmt: skip
def test_one_bad_row_among_good_ones_spoils_the_answer(cells: Any) -> None:
    good = [row(candle) for candle in opened(START + 960 * HOUR, NOW)]
    with (
        answering(bitfinex(lambda _: [*good[:5], cells, *good[5:]])) as url,
        pytest.raises(ExchangeError, match="nonsense"),
    ):
        feed_of(url).closed_candles(START + 960 * HOUR)


@pytest.mark.parametrize(
    "ticker",
    [[0.0] * 10, [2, 1, 1, 1, 0, 0, 1.5, 1, 1, 1], [1, 1, 2, 1, 0, 0, -1, 1, 1, 1], [1], ["NaN"] * 10, {"a": 1}],
)
def test_a_ticker_without_a_price_is_nonsense(ticker: Any) -> None:
    with answering(bitfinex(lambda _: ticker)) as url, pytest.raises(ExchangeError, match="nonsense"):
        feed_of(url).ticker()


# ---- cut


@pytest.mark.parametrize("where", ["markets", "candles"])
def test_cut_ends_the_request_in_flight_and_the_next_call_is_well(where: str) -> None:
    arrived, release = threading.Event(), threading.Event()
    lists = bitfinex(lambda query: [row(candle) for candle in opened(int(query["start"]) / 1000, NOW)])

    def hanging(path: str, query: dict[str, str]) -> Any:
        if not release.is_set() and ("pub:info:pair" if where == "markets" else "/candles/") in path:
            arrived.set()
            release.wait(60)
        return lists(path, query)

    with answering(hanging) as url:
        feed = feed_of(url, timeout=1e9)
        failures: list[ExchangeError] = []

        def call() -> None:
            with pytest.raises(ExchangeError) as failure:
                feed.closed_candles(START + 980 * HOUR)
            failures.append(failure.value)

        thread = threading.Thread(target=call)
        thread.start()
        assert arrived.wait(60)
        feed.cut()
        thread.join(timeout=60)
        assert "was ended" in str(failures[0])
        release.set()
        assert feed.closed_candles(START + 980 * HOUR) == CANDLES[980:990]
