"""Markets of a daemon that runs: added and taken out, promoted, paused, and held up by a policy that fails."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bot.errors import ModelError, UnknownSymbolError
from bot.ledger import open_reader, open_writer, read_events
from bot.model import Array, Observation, Policy, PolicyOutput, registry
from bot.service import Markets, TraderWatcher, Waiter, ask_to_pause, poll_once, raise_failures, run
from bot.service.loop import Loop
from bot.simulator.generate import START
from bot.trading import Trader
from tests.harness import HOUR, InlineWaiter
from tests.many import MODELS, Exchanges, exchanges, named


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Exchanges]:
    with exchanges(tmp_path, 5) as made:
        yield made


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


@pytest.mark.usefixtures("_still")
def test_a_challengers_policy_that_fails_holds_up_that_account_alone(world: Exchanges) -> None:
    folder = world.folder / "models" / MODELS[1].model_id
    settings = world.settings(challengers=[{"name": "rash", "model": str(folder)}])
    watcher, hours = TraderWatcher(settings), {31}
    watcher.traders = failing(watcher.traders, "rash", hours)
    seen: list[tuple[list[int], list[int]]] = []

    def look() -> None:
        seen.append((world.hours("main"), world.hours("rash")))

    daemon(world, watcher, later(world), look, later(world), look, hours.clear, later(world), look)
    assert seen[:2] == [([30, 31], [30]), ([30, 31, 32], [30])]
    assert seen[2] == ([30, 31, 32, 33], [30, 31, 32, 33])
    ledger = open_reader(world.url)
    with ledger.reading() as connection:
        failures = {event["error"] for event in read_events(connection, "model_failed")}
        assert failures == {"account rash: the policy fails on hour 31"}
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
