"""The loopback exchange as seen from outside: Bitfinex's REST by hand, the clock, the switches."""

import json
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from bot.clock import Clock
from bot.errors import UsageError
from bot.market import Candle
from bot.simulator import OUTAGE, LoopbackExchange, generate_candles
from bot.simulator.faults import Fault, read_fault
from bot.simulator.generate import START

HOUR = 3600
CANDLES = generate_candles(60, seed=9, holes=0, quiet=0)
CANDLES_PATH = "/v2/candles/trade:1h:tBTCUSD/hist"


class Watch:
    """A clock's source that is set by hand."""

    now = START + 50 * HOUR + 900.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def exchange(watch: Watch) -> Iterator[LoopbackExchange]:
    with LoopbackExchange(CANDLES, Clock(source=watch, simulated=True)) as exchange:
        yield exchange


def ask(exchange: LoopbackExchange, path: str, method: str = "GET") -> tuple[HTTPResponse, Any]:
    connection = HTTPConnection(exchange.url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response, json.loads(response.read())
    finally:
        connection.close()


def row(candle: Candle) -> list[float]:
    return [candle.bar_time * 1000, candle.open, candle.close, candle.high, candle.low, candle.volume]


def test_candles_are_newest_first_unless_sorted(exchange: LoopbackExchange) -> None:
    _, newest = ask(exchange, f"{CANDLES_PATH}?limit=3")
    assert newest[1:] == [row(CANDLES[49]), row(CANDLES[48])]
    _, oldest = ask(exchange, f"{CANDLES_PATH}?limit=3&sort=1")
    assert oldest == [row(candle) for candle in CANDLES[:3]]
    first, last = CANDLES[10].bar_time * 1000, CANDLES[12].bar_time * 1000
    _, between = ask(exchange, f"{CANDLES_PATH}?start={first}&end={last}&sort=1")
    assert between == [row(candle) for candle in CANDLES[10:13]]
    _, one = ask(exchange, CANDLES_PATH.replace("hist", "last"))
    assert one == newest[0]


def test_the_forming_candle_grows_into_the_closed_one(exchange: LoopbackExchange, watch: Watch) -> None:
    final = CANDLES[50]
    seen = []
    for part in (0.0, 0.25, 0.5, 0.999):
        watch.now = final.bar_time + part * HOUR
        _, [[opened, first, close, high, low, volume]] = ask(exchange, f"{CANDLES_PATH}?limit=1")
        assert (opened, first) == (final.bar_time * 1000, final.open)
        assert volume == pytest.approx(final.volume * part, rel=1e-9)
        assert max(first, close) <= high <= final.high
        assert final.low <= low <= min(first, close)
        seen.append((close, high, low))
    assert len(set(seen)) == 4
    watch.now = final.bar_time + HOUR
    _, rows = ask(exchange, f"{CANDLES_PATH}?limit=2")
    assert row(final) in rows


def test_an_hour_without_a_trade_is_absent_even_while_it_forms(exchange: LoopbackExchange) -> None:
    exchange.candles = CANDLES[:50] + CANDLES[51:]
    _, rows = ask(exchange, f"{CANDLES_PATH}?limit=1")
    assert rows == [row(CANDLES[49])]


def test_date_ticker_status_and_markets(exchange: LoopbackExchange, watch: Watch) -> None:
    response, status = ask(exchange, "/v2/platform/status")
    assert parsedate_to_datetime(response.headers["Date"]).timestamp() == watch.now
    assert status == [1]
    _, ticker = ask(exchange, "/v2/ticker/tBTCUSD")
    assert len(ticker) == 10
    assert ticker[0] < ticker[6] < ticker[2]
    _, [pairs, unknown] = ask(exchange, "/v2/conf/pub:info:pair,pub:what")
    assert pairs[0][0] == "BTCUSD"
    assert unknown == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/candles/trade:5m:tBTCUSD/hist", 500),
        ("/v2/candles/trade:1h:tETHUSD/hist", 500),
        ("/v2/ticker/tETHUSD", 500),
        ("/v1/anything", 404),
        ("/", 404),
    ],
)
def test_what_it_does_not_have_is_an_error(exchange: LoopbackExchange, path: str, status: int) -> None:
    response, _ = ask(exchange, path)
    assert response.status == status


def test_requests_are_counted_by_path(exchange: LoopbackExchange) -> None:
    for limit in (1, 2):
        ask(exchange, f"{CANDLES_PATH}?limit={limit}")
    ask(exchange, "/v2/platform/status")
    assert exchange.requests == {CANDLES_PATH: 2, "/v2/platform/status": 1}


def test_faults_are_switched_over_http(exchange: LoopbackExchange) -> None:
    response, body = ask(exchange, "/_faults?name=500&on=all", "POST")
    assert (response.status, body) == (200, {"fault": ["500", "all"]})
    assert exchange.fault == Fault("500", "all")
    assert ask(exchange, "/v2/platform/status")[0].status == 500
    ask(exchange, "/_faults?name=500", "POST")
    assert ask(exchange, "/v2/platform/status")[0].status == 200
    assert ask(exchange, CANDLES_PATH)[0].status == 500
    ask(exchange, "/_faults", "POST")
    assert exchange.fault is None
    assert ask(exchange, CANDLES_PATH)[0].status == 200


@pytest.mark.parametrize(
    "query", ["name=nothing_such", "name=500&on=tuesdays", "name=500&seconds=x", "name=refused&on=all"]
)
def test_a_fault_that_cannot_be_is_refused(exchange: LoopbackExchange, query: str) -> None:
    response, body = ask(exchange, f"/_faults?{query}", "POST")
    assert response.status == 400
    assert body["message"]
    assert exchange.fault is None
    assert ask(exchange, "/elsewhere", "POST")[0].status == 404


def refuses(exchange: LoopbackExchange) -> bool:
    try:
        ask(exchange, "/v2/platform/status")
    except ConnectionRefusedError:
        return True
    except ConnectionError:  # accepted before the outage, and then ended by it
        return False
    return False


def test_an_outage_over_http_keeps_the_port(exchange: LoopbackExchange) -> None:
    ask(exchange, "/_faults?name=refused&on=all&seconds=3600", "POST")
    assert any(refuses(exchange) for _ in range(100_000))  # it begins once the answer has been sent
    assert refuses(exchange)
    exchange.mend(OUTAGE)
    assert ask(exchange, "/v2/platform/status")[1] == [1]


def test_a_fault_may_end_by_itself(exchange: LoopbackExchange) -> None:
    ask(exchange, "/_faults?name=500&on=all&seconds=0.01", "POST")
    assert any(ask(exchange, "/v2/platform/status")[0].status == 200 for _ in range(100_000))
    assert exchange.fault is None


def test_a_fault_that_has_been_replaced_is_not_ended(exchange: LoopbackExchange) -> None:
    exchange.fault = Fault("html")
    exchange.mend(Fault("null"))
    assert exchange.fault == Fault("html")
    exchange.mend(Fault("html"))
    assert exchange.fault is None


def test_faults_are_read_as_they_are_written() -> None:
    assert read_fault("html") == Fault("html", "candles")
    assert read_fault("html@all") == Fault("html", "all")
    for text in ("", "htm", "html@some", "@all"):
        with pytest.raises(UsageError):
            read_fault(text)


def test_a_fault_that_does_not_exist_is_never_set(exchange: LoopbackExchange) -> None:
    with pytest.raises(UsageError, match="nothing_such"):
        exchange.fault = Fault("nothing_such")
    assert exchange.fault is None


def test_the_port_is_free_again(watch: Watch) -> None:
    clock = Clock(source=watch)
    with LoopbackExchange(CANDLES, clock) as first:
        port = int(first.url.rpartition(":")[2])
        ask(first, "/v2/platform/status")
        with pytest.raises(OSError, match="in use"):
            LoopbackExchange(CANDLES, clock, port=port)
    with LoopbackExchange(CANDLES, clock, port=port) as second:
        assert ask(second, "/v2/platform/status")[1] == [1]
