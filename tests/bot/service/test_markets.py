"""Several markets in one daemon: asked side by side, each with troubles of its own, all in one ledger."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bot.errors import ExchangeError, UnknownSymbolError, UsageError
from bot.ledger import open_reader, open_writer, read_events, read_terms
from bot.service import Markets, TraderWatcher, Waiter, once, poll_once, raise_failures
from bot.simulator import LoopbackExchange
from bot.simulator.faults import Fault
from bot.simulator.generate import START
from tests.harness import HOUR
from tests.many import CANDLES, MODELS, Exchanges, exchanges, named


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Exchanges]:
    with exchanges(tmp_path, 5) as made:
        yield made


def test_each_market_is_decided_on_its_own_candles_in_one_ledger(world: Exchanges) -> None:
    settings = world.settings(*named("eth", "ltc"))
    for hour in (30, 31, 34):
        attempts = world.poll(settings, hour)
        assert [attempt.error for attempt in attempts.values()] == [None] * 3
    for name in ("main", "eth", "ltc"):
        assert world.hours(name) == [30, 31, 32, 33, 34]
    assert {row[0] for row in world.rows()["candles"]} == {f"bitfinex:{base}/USD:1h" for base in ("BTC", "ETH", "LTC")}
    assert world.proven() == 15
    assert sum(world.exchange.requests[path] for path in world.exchange.requests if "/conf/" in path) == 3 * 2


@pytest.mark.parametrize("fault", ["timeout", "nan", "451", "html", "reset", "huge"])
def test_a_hanging_lying_or_refusing_market_harms_no_other(
    world: Exchanges, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(once, "ONCE_SECONDS", 3.0)
    world.exchange.market_faults["ETHUSD"] = Fault(fault, "all")
    attempts = world.poll(world.settings(*named("eth", "ltc")), 30)
    assert {name: attempt.bars for name, attempt in attempts.items()} == {"main": 1, "eth": 0, "ltc": 1}
    with pytest.raises(ExchangeError, match="1 of 3 markets were not decided: eth: "):
        raise_failures(list(attempts.values()))
    assert world.proven() == 2
    ledger = open_reader(world.url)
    with ledger.reading() as connection:
        assert {event.get("market") for event in read_events(connection, "exchange_error")} == {"eth"}
    ledger.close()
    world.exchange.market_faults.clear()
    assert world.poll(world.settings(*named("eth", "ltc")), 31)["eth"].bars == 1
    world.proven()


def test_exchanges_do_not_wait_for_one_another(world: Exchanges, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one hangs as a whole, its list of markets too."""
    monkeypatch.setattr(once, "ONCE_SECONDS", 3.0)
    with LoopbackExchange(CANDLES, world.dial.clock, Fault("timeout", "all"), others={"ETH/USD": CANDLES}) as other:
        away = {"name": "eth", "symbol": "ETH/USD", "base_url": other.url}
        attempts = world.poll(world.settings(away, *named("ltc")), 30)
    assert {name: attempt.bars for name, attempt in attempts.items()} == {"main": 1, "eth": 0, "ltc": 1}


def test_requests_keep_the_pace_of_their_exchange_and_answers_overlap(tmp_path: Path) -> None:
    """At a tenth of Bitfinex's pace, 0.0675 s a call; every answer takes ten times as long as that."""
    with exchanges(tmp_path, 20) as world:
        world.speed = 10.0
        settings = world.settings(*named(*(market.symbol[:3].lower() for market in world.exchange.others)))
        world.poll(settings, 30)
        world.exchange.arrivals.clear()
        world.exchange.delay = 0.675
        began = time.monotonic()
        attempts = world.poll(settings, 31)
        took = time.monotonic() - began
        starts = [at for at, path in world.exchange.arrivals if "/candles/" in path]
    assert [attempt.bars for attempt in attempts.values()] == [1] * 20
    assert len(starts) == 20
    assert starts[-1] - starts[0] > 19 * 0.0675 * 0.75  # the first may arrive a little late
    assert took < 20 * 0.675  # side by side


@pytest.mark.slow
def test_twenty_markets_that_take_three_seconds_are_decided_within_twenty(tmp_path: Path) -> None:
    """At Bitfinex's own pace, 0.675 s a call, in a daemon that knows the list of markets."""
    with exchanges(tmp_path, 20) as world:
        world.speed = 1.0
        names = [market.symbol[:3].lower() for market in world.exchange.others]
        settings = world.settings(*named(*names), exchange={"base_url": world.exchange.url})
        world.dial.now = START + 31 * HOUR + 30.0
        ledger = open_writer(world.url)
        markets = Markets(TraderWatcher(settings), world.clock, ledger)
        pollers = [market.poller for market in markets]
        poll_once(pollers, Waiter())
        world.dial.now += HOUR
        world.exchange.delay = 3.0
        began = time.monotonic()
        attempts = poll_once(pollers, Waiter())
        took = time.monotonic() - began
        ledger.close()
    assert [attempt.bars for attempt in attempts] == [1] * 20
    assert 19 * 0.675 + 3.0 < took < 20.0


def test_a_market_is_tried_from_its_first_request_on(world: Exchanges, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of three waits longer for its turn than it is tried for."""
    monkeypatch.setattr(once, "ONCE_SECONDS", 2.5)
    world.speed = 1.0  # 0.675 s a call
    attempts = world.poll(world.settings(*named("eth", "ltc")), 30)
    assert [attempt.bars for attempt in attempts.values()] == [1] * 3


def test_one_and_many_and_one_again_need_nothing_by_hand(world: Exchanges) -> None:
    world.poll(world.settings(), 30)
    world.poll(world.settings(*named("eth")), 31)
    world.poll(world.settings(), 32)
    eth_first = world.settings(
        {"name": "main", "initial_balance": 10_000.0, "initial_stocks": 1.0},
        exchange={"base_url": world.exchange.url, "symbol": "ETH/USD"},
        account={"name": "eth", "initial_share": 0.5},
    )
    eth_first = msgspec.structs.replace(
        eth_first, markets=(msgspec.structs.replace(eth_first.markets[0], symbol="BTC/USD", initial_share=None),)
    )
    world.poll(world.settings(*named("eth")), 33)
    world.poll(eth_first, 34)
    assert (world.hours("main"), world.hours("eth")) == ([30, 31, 32, 33, 34], [31, 32, 33, 34])
    assert world.proven() == 9


def test_an_initial_share_is_fixed_by_the_first_close(world: Exchanges) -> None:
    settings = world.settings({"name": "eth", "symbol": "ETH/USD", "initial_share": 0.25, "initial_balance": 8000.0})
    world.poll(settings, 30)
    world.poll(settings, 31)
    close = next(market for market in world.exchange.others if market.symbol == "ETH/USD").candles[30].close
    ledger = open_reader(world.url)
    with ledger.reading() as connection:
        terms = read_terms(connection, "eth")
    ledger.close()
    assert terms is not None
    assert (terms.rules.initial_balance, terms.rules.initial_stocks) == (6000.0, 2000.0 / close)
    for other in ({"initial_share": 0.5}, {"initial_balance": 6000.0, "initial_stocks": 1.0}):
        with pytest.raises(UsageError, match="account 'eth' was opened with"):
            world.poll(world.settings({"name": "eth", "symbol": "ETH/USD"} | other), 32)
    assert world.proven() == 4


def test_two_accounts_of_one_market_share_its_candles(world: Exchanges) -> None:
    cheap = {"name": "cheap", "commission": 0.0, "model": str(world.folder / "models" / MODELS[1].model_id)}
    world.poll(world.settings(cheap), 30)
    world.poll(world.settings(cheap), 32)
    assert world.hours("main") == world.hours("cheap") == [30, 31, 32]
    assert world.exchange.requests["/v2/candles/trade:1h:tBTCUSD/hist"] == 2
    assert world.proven() == 6


def test_a_challenger_joins_the_markets_that_it_names(world: Exchanges) -> None:
    model = str(world.folder / "models" / MODELS[1].model_id)
    challengers = [
        {"name": "all", "model": model, "markets": ["main", "eth"]},
        {"name": "one", "model": model},
        {"name": "away", "model": model, "markets": ["eth"]},
    ]
    world.poll(world.settings(*named("eth", "ltc"), challengers=challengers), 30)
    accounts = {row[0]: row[1] for row in world.rows()["accounts"]}
    btc, eth = "bitfinex:BTC/USD:1h", "bitfinex:ETH/USD:1h"
    assert accounts == {
        "main": btc, "all": btc, "one": btc, "eth": eth, "all@eth": eth, "away@eth": eth, "ltc": "bitfinex:LTC/USD:1h",
    }  # fmt: skip
    assert world.proven() == 7


def test_a_name_that_is_none_is_refused(world: Exchanges) -> None:
    with pytest.raises(UsageError, match="'a b' is not a valid name for a new account"):
        world.poll(world.settings({"name": "a b", "symbol": "ETH/USD"}), 30)


def test_a_symbol_that_the_exchange_lacks_is_one_markets_trouble(world: Exchanges) -> None:
    nowhere = {"name": "doge", "symbol": "DOGE/USD"}
    attempts = world.poll(world.settings(nowhere, *named("eth")), 30)
    assert {name: attempt.bars for name, attempt in attempts.items()} == {"main": 1, "doge": 0, "eth": 1}
    with pytest.raises(UnknownSymbolError, match=r"doge: .*DOGE/USD"):
        raise_failures(list(attempts.values()))
