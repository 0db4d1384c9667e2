"""Several markets in one daemon: asked side by side, each with troubles of its own, all in one ledger."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.clock import read_clock
from bot.errors import ExchangeError, ModelError, UnknownSymbolError, UsageError
from bot.ledger import open_reader, open_writer, read_events, read_terms
from bot.model import Array, Observation, Policy, PolicyOutput, registry
from bot.service import Markets, TraderWatcher, Waiter, ask_to_pause, once, poll_once, raise_failures, run
from bot.service.loop import Loop
from bot.simulator import LoopbackExchange
from bot.simulator.faults import Fault
from bot.simulator.generate import START
from bot.trading import Trader
from tests.harness import HOUR, InlineWaiter, environment, hourhand
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
    monkeypatch.setattr(once, "ONCE_SECONDS", 1.0)
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
    monkeypatch.setattr(once, "ONCE_SECONDS", 1.0)
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


@dataclass
class Script(InlineWaiter):
    """Instead of waiting, does the next deed of a list, and stops after the last."""

    deeds: list[Any]

    def __post_init__(self) -> None:
        super().__init__()

    def wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if not self.deeds:
            self.stop()
            return
        self.deeds.pop(0)()


def daemon(world: Exchanges, watcher: TraderWatcher, *deeds: Any, hour: int = 30) -> None:
    """The daemon's loop, one deed each time that it would wait."""
    world.dial.now = START + (hour + 1) * HOUR + 30.0
    ledger = open_writer(world.url)
    try:
        run(Markets(watcher, world.clock, ledger), 20.0, Script(list(deeds)))
    finally:
        ledger.close()


@pytest.fixture
def _still(monkeypatch: pytest.MonkeyPatch, world: Exchanges) -> None:
    """The monotonic clock moves with the test's."""
    for module in ("loop", "market"):
        monkeypatch.setattr(f"bot.service.{module}.time.monotonic", world.dial)


def later(world: Exchanges, hours: int = 1) -> Any:
    return lambda: setattr(world.dial, "now", world.dial.now + hours * HOUR)


@pytest.mark.usefixtures("_still")
def test_markets_are_added_and_taken_out_while_the_daemon_runs(world: Exchanges, log_lines: list[Any]) -> None:
    now = [world.settings(*named("eth"))]
    watcher = TraderWatcher(now[0], lambda: now[0])

    def change(*bases: str) -> Any:
        def deed() -> None:
            now[0] = world.settings(*named(*bases))
            watcher.recheck()

        return deed

    daemon(world, watcher, change("ltc"), lambda: None, later(world), change("ltc", "eth"), later(world), lambda: None)
    assert world.hours("main") == [30, 31, 32]
    assert world.hours("eth") == [30, 31, 32]  # 31 is caught up
    assert world.hours("ltc") == [30, 31, 32]
    assert [line["event"] for line in log_lines if line["event"].startswith("market_")] == [
        "market_removed", "market_added", "market_added",
    ]  # fmt: skip
    assert not [line for line in log_lines if line["event"] == "models"]  # nothing changed for those that stayed
    world.proven()


@pytest.mark.usefixtures("_still")
def test_a_market_without_its_symbol_is_not_added_to_a_daemon_that_runs(world: Exchanges, log_lines: list[Any]) -> None:
    now = [world.settings()]
    watcher = TraderWatcher(now[0], lambda: now[0])

    def add() -> None:
        now[0] = world.settings({"name": "doge", "symbol": "DOGE/USD"})
        watcher.recheck()

    daemon(world, watcher, add, lambda: None, later(world), lambda: None)
    assert world.hours("main") == [30, 31]
    assert [line["error"] for line in log_lines if line["event"] == "market_rejected"]


@pytest.mark.usefixtures("_still")
def test_a_listed_market_that_vanishes_is_unhealthy_and_the_others_go_on(world: Exchanges) -> None:
    settings = world.settings(*named("eth"))
    world.poll(settings, 30)
    del world.exchange.others[0]
    daemon(world, TraderWatcher(settings), lambda: None, later(world), lambda: None, hour=31)
    assert (world.hours("main"), world.hours("eth")) == ([30, 31, 32], [30])
    with pytest.raises(UnknownSymbolError, match="market doge: "):
        daemon(world, TraderWatcher(world.settings({"name": "doge", "symbol": "DOGE/USD"})), hour=33)


@pytest.mark.usefixtures("_still")
def test_a_promotion_reaches_every_market_of_its_pointer(world: Exchanges) -> None:
    watcher = TraderWatcher(world.settings(*named("eth")))

    def promote() -> None:
        registry.promote(world.folder / "models" / "current", MODELS[2].model_id, 2.0)

    daemon(world, watcher, promote, later(world), lambda: None)
    models = [(row[0], row[9]) for row in world.rows()["decisions"]]
    assert sorted(models) == sorted((name, MODELS[which].model_id) for name in ("main", "eth") for which in (0, 2))
    world.proven()


@pytest.mark.usefixtures("_still")
def test_a_market_whose_model_was_changed_by_a_hangup_is_paused_with_the_others(world: Exchanges) -> None:
    """A pause is asked for by the settings as they are now; the daemon began with others."""
    now = [world.settings(*named("eth"))]
    watcher = TraderWatcher(now[0], lambda: now[0])

    def change() -> None:
        folder = str(world.folder / "models" / MODELS[1].model_id)
        now[0] = world.settings(named("eth")[0] | {"model": folder})
        watcher.recheck()

    def pause() -> None:
        ask_to_pause(now[0], ["eth"], world.dial.now)

    daemon(world, watcher, change, pause, later(world), lambda: None)
    reasons = [(row[0], row[3], row[9]) for row in world.rows()["decisions"] if row[0] == "eth"]
    assert reasons == [("eth", "policy", MODELS[0].model_id), ("eth", "paused", MODELS[1].model_id)]
    world.proven()


@dataclass
class Fails:
    """A policy that is somebody's code, and fails on the candles of some hours."""

    policy: Policy
    hours: set[int]

    def start(self) -> Array:
        return self.policy.start()

    def step(self, observation: Observation, memory: Array) -> PolicyOutput:
        hour = (observation.candle.bar_time - START) // HOUR
        if hour in self.hours:
            raise ModelError(f"the policy fails on hour {hour}")
        return self.policy.step(observation, memory)


def failing(traders: list[Trader], account: str, hours: set[int]) -> list[Trader]:
    """The traders, where that account's policy fails."""
    return [
        replace(trader, model=replace(trader.model, policy=Fails(trader.model.policy, hours)))
        if trader.terms.name == account
        else trader
        for trader in traders
    ]


@pytest.mark.usefixtures("_still")
def test_a_policy_that_fails_holds_up_its_own_market_alone(world: Exchanges) -> None:
    watcher, hours = TraderWatcher(world.settings(*named("eth"))), {31}
    watcher.traders = failing(watcher.traders, "eth", hours)
    daemon(world, watcher, later(world), lambda: None, later(world), hours.clear, later(world), lambda: None)
    assert world.hours("main") == world.hours("eth") == [30, 31, 32, 33]
    ledger = open_reader(world.url)
    with ledger.reading() as connection:
        failed = {(event["market"], event["error"]) for event in read_events(connection, "model_failed")}
        assert failed == {("eth", "the policy fails on hour 31")}
        assert len(read_events(connection, "model_recovered")) == 1
    ledger.close()
    world.proven()


def test_a_policy_that_fails_is_5_and_the_other_markets_are_decided(world: Exchanges) -> None:
    world.dial.now = START + 31 * HOUR + 30.0
    watcher = TraderWatcher(world.settings(*named("eth")))
    watcher.traders = failing(watcher.traders, "main", {30})
    ledger = open_writer(world.url)
    attempts = poll_once([market.poller for market in Markets(watcher, world.clock, ledger)], Waiter())
    ledger.close()
    with pytest.raises(ModelError, match="1 of 2 markets were not decided: main: the policy fails on hour 30"):
        raise_failures(attempts)
    assert (world.hours("main"), world.hours("eth")) == ([], [30])


def test_a_model_that_fails_in_its_warm_up_is_rejected(world: Exchanges) -> None:
    world.poll(world.settings(), 30)
    watcher, ledger = TraderWatcher(world.settings()), open_writer(world.url)
    markets = Markets(watcher, world.clock, ledger)
    (market,) = markets
    other = [replace(trader, model=MODELS[1]) for trader in watcher.traders]
    Loop(markets, Waiter())._use(market, failing(other, "main", {30}))
    with ledger.reading() as connection:
        assert read_events(connection, "model_rejected")[0]["error"] == "the policy fails on hour 30"
    assert market.poller.traders == watcher.traders
    ledger.close()


def test_what_was_promoted_and_taken_back_while_the_exchange_was_asked_is_not_used(world: Exchanges) -> None:
    watcher, ledger = TraderWatcher(world.settings()), open_writer(world.url)
    markets = Markets(watcher, world.clock, ledger)
    (market,) = markets
    before = watcher.traders
    for change in ({"model": MODELS[1]}, {"initial_share": 0.5}):
        markets.set_traders([replace(before[0], **change)])
        assert market.next_traders is not None
        markets.set_traders(before)
        assert market.next_traders is None
    ledger.close()


def test_the_command_says_which_was_not_decided_and_ends_with_6(world: Exchanges) -> None:
    world.exchange.market_faults["ETHUSD"] = Fault("451", "all")
    file = world.folder / "bot.toml"
    file.write_text(
        f'[exchange]\nbase_url = "{world.exchange.url}"\n[schedule]\nwarmup_bars = 20\n'
        '[policy]\nmodel = "models/current"\n[ledger]\nurl = "sqlite:///ledger.sqlite"\n'
        '[[markets]]\nname = "eth"\nsymbol = "ETH/USD"\n'
    )
    world.dial.now = START + 31 * HOUR + 30.0
    clock = f"@{world.dial.now:.0f}x100"
    done = hourhand("run", "--once", "--json", "--config", "bot.toml", cwd=world.folder, HOURHAND_CLOCK=clock)
    assert done.returncode == 6
    printed = json.loads(done.stdout)
    assert [(one["account"], one["bars"], one["error"] is None) for one in printed["markets"]] == [
        ("main", 1, True), ("eth", 0, False),
    ]  # fmt: skip
    assert "1 of 2 markets were not decided: eth: " in done.stderr.splitlines()[-1]
    status = hourhand("status", "--json", "--config", "bot.toml", cwd=world.folder, HOURHAND_CLOCK=clock)
    assert [one["account"] for one in json.loads(status.stdout)["accounts"]] == ["main"]
    health = hourhand("health", "--config", "bot.toml", cwd=world.folder, HOURHAND_CLOCK=clock)
    assert health.returncode == 1
    assert "1 of 2 markets; eth: no bar" in health.stdout


def test_a_hangup_makes_the_daemon_read_the_markets_again(world: Exchanges) -> None:
    file = world.folder / "bot.toml"
    file.write_text(
        f'[exchange]\nbase_url = "{world.exchange.url}"\n[schedule]\nwarmup_bars = 20\n'
        '[policy]\nmodel = "models/current"\n[ledger]\nurl = "sqlite:///ledger.sqlite"\n'
    )
    clock = f"@{START + 31 * HOUR + 30}x60@{time.time():.3f}"
    world.exchange.clock = read_clock(clock)
    command = [sys.executable, "-m", "bot", "run", "--config", "bot.toml"]
    env = environment(PYTHONPATH=str(Path(__file__).parents[3]), HOURHAND_CLOCK=clock)
    with subprocess.Popen(command, cwd=world.folder, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = (json.loads(line) for line in process.stderr)
        next(line for line in lines if line["event"] == "bar")
        with file.open("a") as settings:
            settings.write('[[markets]]\nname = "eth"\nsymbol = "ETH/USD"\n')
        process.send_signal(signal.SIGHUP)
        assert next(line for line in lines if line["event"] == "market_added")["market"] == "eth"
        assert next(line for line in lines if line["event"] == "bar")["account"] == "eth"
        process.terminate()
        assert [line["event"] for line in lines][-1] == "stopped"
    assert process.returncode == 0
    world.proven()


def test_a_simulated_clock_needs_an_address_for_every_market(world: Exchanges) -> None:
    file = world.folder / "bot.toml"
    file.write_text(f'[exchange]\nbase_url = "{world.exchange.url}"\n[[markets]]\nname = "k"\nexchange = "kraken"\n')
    done = hourhand("status", "--config", "bot.toml", cwd=world.folder, HOURHAND_CLOCK="@1577836800")
    assert done.returncode == 2
    assert "base_url of market k" in done.stderr
