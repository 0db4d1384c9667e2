"""What the markets of one exchange share: its pace and its list of markets, asked for once."""

import threading
from typing import Any

import pytest

from bot.clock import Clock
from bot.errors import ExchangeError
from bot.market import Feed, Venue
from bot.market.transport import Session
from bot.settings import ExchangeSettings
from bot.simulator import LoopbackExchange, beside, generate_candles
from bot.simulator.faults import Fault
from bot.simulator.generate import START
from tests.harness import HOUR, Dial

CANDLES = generate_candles(60, 3, holes=0, quiet=0)
NOW = START + 40 * HOUR


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Dial:
    """The monotonic clock."""
    dial = Dial(100.0)
    monkeypatch.setattr("bot.market.venue.time.monotonic", dial)
    return dial


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_requests_start_no_closer_than_the_pace(seconds: Dial, speed: float) -> None:
    venue = Venue("bitfinex", "", Clock(speed=speed, source=Dial(0.0), simulated=True))
    turns = [venue.turn(2.7) for _ in range(4)]
    assert turns == pytest.approx([n * 0.675 / speed for n in range(4)])
    seconds.now += 60.0
    assert venue.turn(2.7) == 0.0


def test_only_several_markets_at_an_address_of_their_own_are_held_back(seconds: Dial) -> None:
    url, clock = "http://127.0.0.1:1", Dial(0.0).clock
    venue = Venue("bitfinex", url, clock)
    first = Feed(ExchangeSettings(base_url=url), clock, venue)
    assert [venue.turn(2.7) for _ in range(3)] == [0.0] * 3
    second = Feed(ExchangeSettings(base_url=url, symbol="ETH/USD"), clock, venue)
    assert [venue.turn(2.7) for _ in range(3)] == pytest.approx([0.0, 0.675, 1.35])
    del second
    seconds.now += 60.0
    assert [venue.turn(2.7) for _ in range(3)] == [0.0] * 3
    assert first.skew is None


def test_the_list_is_asked_for_once_and_its_failure_is_everybodys() -> None:
    venue = Venue("bitfinex", "http://127.0.0.1:1", Dial(0.0).clock)
    began, goes_on = threading.Event(), threading.Event()
    asked: list[Any] = []

    def load(client: Any) -> None:
        asked.append(client)
        began.set()
        goes_on.wait(60)
        if len(asked) == 1:
            raise ExchangeError("it is down")

    outcomes: list[str] = []

    def want() -> None:
        try:
            venue.load(load, Session(1.0, Dial(0.0)), 0)
            outcomes.append("loaded")
        except ExchangeError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=want) for _ in range(3)]
    threads[0].start()
    began.wait(60)
    for thread in threads[1:]:
        thread.start()
    while not all(thread.is_alive() for thread in threads):
        continue
    goes_on.set()
    for thread in threads:
        thread.join(60)
    assert set(outcomes) <= {"it is down", "loaded"}
    assert outcomes[0] == "it is down"
    venue.load(load, Session(1.0, Dial(0.0)), 0)
    assert venue.list_number == 1
    known = len(asked)
    venue.load(load, Session(1.0, Dial(0.0)), 0)
    assert len(asked) == known


def test_feeds_of_one_venue_ask_for_one_list() -> None:
    clock = Clock(speed=1000.0, source=lambda: NOW / 1000, simulated=True)
    with LoopbackExchange(CANDLES, Dial(NOW).clock, others=beside(CANDLES, 3, 5, HOUR)) as exchange:
        venue = Venue("bitfinex", exchange.url, clock)
        feeds = [
            Feed(ExchangeSettings(base_url=exchange.url, symbol=symbol), clock, venue)
            for symbol in ("BTC/USD", "ETH/USD", "LTC/USD")
        ]
        exchange.market_faults["ETHUSD"] = Fault("451", "all")
        found = [feeds[0].closed_candles(START), feeds[2].closed_candles(START)]
        with pytest.raises(ExchangeError, match="451"):
            feeds[1].closed_candles(START)
        assert found[0] != found[1]
        assert sum(count for path, count in exchange.requests.items() if "/conf/" in path) == 2
