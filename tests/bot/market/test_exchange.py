"""The feed against the loopback exchange: real HTTP, the unmodified client of ccxt, a clock that stands still."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from bot.clock import Clock
from bot.errors import ExchangeError, ExchangeRefusedError, UsageError
from bot.market import Candle, Feed
from bot.market.exchange import Ticker
from bot.settings import ExchangeSettings
from bot.simulator import OUTAGE, LoopbackExchange, generate_candles
from bot.simulator.faults import FAULTS, Fault
from bot.simulator.generate import START

HOUR = 3600
CANDLES = generate_candles(300, seed=1, holes=0, quiet=0.02)
NOW = START + 200 * HOUR + 1800.0
SINCE = START + 175 * HOUR
RIGHT = CANDLES[175:200]

NOTICED_NOT_WRONG = {"duplicate", "shuffled", "forming", "clock_ahead", "no_date"}
PLAUSIBLE = {"stale", "gap", "revision", "print_10x", "clock_behind"}
REFUSING = {"401", "403", "451"}
HANGING = {"timeout", "trickle", "trickle_headers"}
NONSENSE = FAULTS - NOTICED_NOT_WRONG - PLAUSIBLE - REFUSING - HANGING


def frozen_clock(at: float) -> Clock:
    return Clock(start=at, source=lambda: 0.0, simulated=True)


def feed_of(exchange: LoopbackExchange, timeout: float = 30.0, **changes: Any) -> Feed:
    settings: dict[str, Any] = {"base_url": exchange.url, "timeout_seconds": timeout} | changes
    return Feed(ExchangeSettings(**settings), exchange.clock)


@pytest.fixture(scope="module")
def shared() -> Iterator[LoopbackExchange]:
    with LoopbackExchange(CANDLES, frozen_clock(NOW)) as exchange:
        yield exchange


@pytest.fixture
def exchange(shared: LoopbackExchange) -> Iterator[LoopbackExchange]:
    shared.requests.clear()
    yield shared
    shared.fault = None
    shared.candles = CANDLES


def test_the_closed_candles_are_those_served_to_the_last_bit(exchange: LoopbackExchange) -> None:
    feed = feed_of(exchange)
    assert feed.closed_candles(SINCE) == RIGHT
    assert feed.skew == 0.0
    assert feed.closed_candles(SINCE + 1) == RIGHT[1:]  # a time within a bar asks for those that open later
    assert feed.closed_candles(RIGHT[-1].bar_time) == RIGHT[-1:]
    assert feed.closed_candles(0) == CANDLES[:200]


def test_a_poll_is_one_request_once_the_markets_are_known(exchange: LoopbackExchange) -> None:
    feed = feed_of(exchange)
    feed.closed_candles(SINCE)
    exchange.requests.clear()
    feed.closed_candles(SINCE)
    assert exchange.requests == {"/v2/candles/trade:1h:tBTCUSD/hist": 1}


@pytest.mark.parametrize("into_the_bar", [0.0, 3599.999])
def test_a_candle_is_closed_from_the_second_on_that_its_bar_ends(into_the_bar: float) -> None:
    with LoopbackExchange(CANDLES, frozen_clock(START + 200 * HOUR + into_the_bar)) as exchange:
        assert feed_of(exchange).closed_candles(SINCE) == RIGHT


def test_a_candle_that_closes_while_it_is_asked_for_is_left_for_the_next_time() -> None:
    ticks = iter([START + 200 * HOUR - 0.001])
    clock = Clock(source=lambda: next(ticks, START + 200 * HOUR + 0.001), simulated=True)
    with LoopbackExchange(CANDLES, frozen_clock(START + 200 * HOUR - 0.001)) as exchange:
        feed = Feed(ExchangeSettings(base_url=exchange.url), clock)
        assert feed.closed_candles(SINCE)[-1] == CANDLES[198]


def test_an_hour_that_the_exchange_does_not_have_is_absent(exchange: LoopbackExchange) -> None:
    exchange.candles = CANDLES[:190] + CANDLES[191:199]  # nothing in hour 190, nor in 199, nor yet in 200
    assert feed_of(exchange).closed_candles(SINCE) == CANDLES[175:190] + CANDLES[191:199]


def test_never_empty(exchange: LoopbackExchange) -> None:
    feed = feed_of(exchange)
    for since in (START + 200 * HOUR, START + 10_000 * HOUR):
        with pytest.raises(ExchangeError, match="no closed candle"):
            feed.closed_candles(since)
    exchange.candles = []
    with pytest.raises(ExchangeError, match="no closed candle"):
        feed.closed_candles(SINCE)


def test_pages_go_on_over_more_candles_than_a_page_holds() -> None:
    candles = generate_candles(25_000, seed=2, bar=60, quiet=0)
    with LoopbackExchange(candles, frozen_clock(START + 24_000 * 60 + 5), bar=60) as exchange:
        feed = feed_of(exchange, timeframe="1m")
        pages = list(feed.pages(START, START + 22_000 * 60))
        assert [len(page) > 0 for page in pages] == [True] * 3
        assert list(chain.from_iterable(pages)) == [
            candle for candle in candles if candle.bar_time < START + 22_000 * 60
        ]
        assert feed.closed_candles(START) == [candle for candle in candles if candle.bar_time < START + 24_000 * 60]


def test_pages_may_be_empty() -> None:
    candles = generate_candles(25_000, seed=2, bar=60, holes=0)
    late = candles[24_000:]  # history starts late
    with LoopbackExchange(late, frozen_clock(START + 25_000 * 60), bar=60) as exchange:
        feed = feed_of(exchange, timeframe="1m")
        assert list(chain.from_iterable(feed.pages(START, START + 25_000 * 60))) == late
        exchange.candles = []
        assert list(feed.pages(START, START + 25_000 * 60)) == [[], [], []]


def test_the_faults_are_all_sorted() -> None:
    assert NOTICED_NOT_WRONG | PLAUSIBLE | REFUSING | HANGING | NONSENSE == FAULTS
    assert len(NONSENSE) > 20


@pytest.mark.parametrize("on", ["candles", "all"])
@pytest.mark.parametrize("known", [True, False], ids=["markets-known", "fresh"])
@pytest.mark.parametrize("name", sorted(FAULTS - PLAUSIBLE))
def test_a_fault_gives_an_error_or_the_right_rows_and_then_all_is_well(
    exchange: LoopbackExchange, name: str, on: str, known: bool
) -> None:
    feed = feed_of(exchange, timeout=0.4 if name in HANGING else 30.0)
    if known:
        recovered(feed)
    exchange.fault = Fault(name, "all" if on == "all" else "candles")
    if name in NOTICED_NOT_WRONG:
        assert feed.closed_candles(SINCE) == RIGHT
    else:
        with pytest.raises(ExchangeError) as failure:
            feed.closed_candles(SINCE)
        assert isinstance(failure.value, ExchangeRefusedError) == (name in REFUSING)
        assert str(failure.value).startswith("bitfinex ")
        assert len(str(failure.value)) < 300
    exchange.fault = None
    assert recovered(feed) == RIGHT


def recovered(feed: Feed) -> list[Candle]:
    """The candles once the exchange is well; a loaded machine may need more than one try within a short timeout."""
    for _ in range(50):
        try:
            return feed.closed_candles(SINCE)
        except ExchangeError as error:
            assert "did not answer within" in str(error)  # noqa: PT017 - any other failure is one of the test
    raise AssertionError("the feed does not recover")


def test_plausible_faults_are_left_to_those_who_know_more(exchange: LoopbackExchange) -> None:
    feed = feed_of(exchange)
    assert feed.closed_candles(SINCE) == RIGHT
    exchange.fault = Fault("stale")
    assert feed.closed_candles(SINCE) == RIGHT[:-3]
    exchange.fault = Fault("gap")
    fetched = feed.closed_candles(SINCE)
    assert set(fetched) < set(RIGHT)
    exchange.fault = Fault("print_10x")
    *others, last = feed.closed_candles(SINCE)
    assert others == RIGHT[:-1]
    assert last.close == 10 * RIGHT[-1].close
    exchange.fault = Fault("revision")
    fetched = feed.closed_candles(SINCE)
    assert [candle.bar_time for candle in fetched] == [candle.bar_time for candle in RIGHT]
    assert [candle != right for candle, right in zip(fetched, RIGHT, strict=True)] == [
        *[False] * (len(RIGHT) - 1),
        True,
    ]
    assert fetched[-1].volume == 2 * RIGHT[-1].volume


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("429", 0), ("429_text", 0), ("429_retry_after", 30), ("429_object_retry_after", 30), ("429_retry_date", 90),
        ("503", 60), ("500", 0), ("html", 0),
    ],
)  # fmt: skip
def test_retry_after_is_passed_on(exchange: LoopbackExchange, name: str, seconds: float) -> None:
    feed = feed_of(exchange)
    exchange.fault = Fault(name, "all")
    with pytest.raises(ExchangeError) as failure:
        feed.closed_candles(SINCE)
    assert failure.value.retry_after == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize(("fault", "skew"), [("clock_ahead", -7200), ("clock_behind", 7200), ("no_date", None)])
def test_skew_is_the_distance_to_the_exchanges_clock(
    exchange: LoopbackExchange, fault: str, skew: float | None
) -> None:
    feed = feed_of(exchange)
    feed.closed_candles(SINCE)
    exchange.fault = Fault(fault)
    fetched = feed.closed_candles(SINCE)
    assert feed.skew == (None if skew is None else pytest.approx(skew, abs=2.1))
    # What has closed here and not there has not closed.
    assert fetched == (RIGHT[:-2] if fault == "clock_behind" else RIGHT)


def test_a_clock_that_is_behind_does_not_take_the_exchanges_candles_for_the_future() -> None:
    with LoopbackExchange(CANDLES, frozen_clock(NOW)) as exchange:
        feed = Feed(ExchangeSettings(base_url=exchange.url), frozen_clock(NOW - 10 * HOUR))
        assert feed.closed_candles(SINCE) == RIGHT[:-10]
        assert feed.skew == pytest.approx(-10 * HOUR, abs=2.1)


def test_a_real_date_says_nothing_about_a_simulated_clock() -> None:
    with LoopbackExchange(CANDLES[:201], Clock()) as exchange:
        feed = Feed(ExchangeSettings(base_url=exchange.url), frozen_clock(NOW))
        assert feed.closed_candles(SINCE) == RIGHT
        assert feed.skew is None


def test_the_ticker_is_around_the_last_price(exchange: LoopbackExchange) -> None:
    ticker = feed_of(exchange).ticker()
    assert isinstance(ticker, Ticker)
    assert ticker.bid < ticker.last < ticker.ask
    forming = CANDLES[200]
    assert ticker.last == (forming.open + forming.close) / 2  # half of the bar has gone


@pytest.mark.parametrize("name", sorted(NONSENSE))
def test_a_ticker_is_right_or_an_error(exchange: LoopbackExchange, name: str) -> None:
    feed = feed_of(exchange)
    right = feed.ticker()
    exchange.fault = Fault(name, "all")
    try:
        assert feed.ticker() == right
    except ExchangeError as error:
        assert str(error).startswith("bitfinex ")  # noqa: PT017 - either is right
    exchange.fault = None
    assert feed.ticker() == right


def test_an_outage_ends(exchange: LoopbackExchange) -> None:
    feed = feed_of(exchange)
    for _ in range(3):
        exchange.fault = OUTAGE
        with pytest.raises(ExchangeError, match=r"cannot be reached: .*refused"):
            feed.closed_candles(SINCE)
        exchange.fault = None
        assert feed.closed_candles(SINCE) == RIGHT


@pytest.mark.parametrize(
    ("key", "value"),
    [("id", "nobody"), ("id", "bitfinix"), ("timeframe", "7m"), ("symbol", "BTC/USX"), ("base_url", "127.0.0.1:80")],
)
def test_what_the_exchange_does_not_have_is_wrong_usage_that_names_the_key(
    exchange: LoopbackExchange, key: str, value: str
) -> None:
    with pytest.raises(UsageError, match=rf"exchange\.{key} = '{value}'"):
        feed_of(exchange, 30.0, **{key: value}).closed_candles(SINCE)


def test_a_typing_error_gets_a_hint(exchange: LoopbackExchange) -> None:
    with pytest.raises(UsageError, match="did you mean bitfinex"):
        feed_of(exchange, id="bitfinix")
    with pytest.raises(UsageError, match="did you mean BTC/USD"):
        feed_of(exchange, symbol="BTC/USDD").ticker()


@pytest.mark.parametrize("name", ["nothing", "html", "null", "wrong_types", "object", "500", "truncated"])
def test_a_symbol_is_never_missing_on_the_word_of_nonsense(exchange: LoopbackExchange, name: str) -> None:
    feed = feed_of(exchange, symbol="BTC/EUR")
    exchange.fault = Fault(name, "all")
    with pytest.raises(ExchangeError):
        feed.closed_candles(SINCE)
    exchange.fault = None
    with pytest.raises(UsageError, match=r"exchange\.symbol"):
        feed.closed_candles(SINCE)


def test_cut_between_two_requests_ends_the_next(exchange: LoopbackExchange) -> None:
    feed = feed_of(exchange)
    feed.cut()
    with pytest.raises(ExchangeError, match="was ended"):
        feed.closed_candles(SINCE)
    assert feed.closed_candles(SINCE) == RIGHT
    assert exchange.requests.total() == 3


@pytest.mark.parametrize("timeout", [1e18, 1e300])
def test_an_enormous_timeout_is_one(exchange: LoopbackExchange, timeout: float) -> None:
    assert feed_of(exchange, timeout=timeout).closed_candles(SINCE) == RIGHT


def test_no_time_at_all_is_a_timeout(exchange: LoopbackExchange) -> None:
    with pytest.raises(ExchangeError, match="did not answer within 0 s"):
        feed_of(exchange, timeout=0).closed_candles(SINCE)
