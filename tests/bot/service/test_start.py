"""What passes is waited out at the start too; a ledger's file that goes or changes; models of another timeframe."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from bot.errors import ExchangeError, LedgerError, LedgerGoneError, LedgerUnavailableError, ModelError, UsageError
from bot.ledger import Ledger, backup, open_writer
from bot.market import Feed
from bot.model import Model, parse_model, registry, save_model
from bot.observers import NO_OBSERVERS
from bot.service import (
    Markets,
    Poll,
    Stopped,
    TraderWatcher,
    Waiter,
    loop,
    market,
    require_timeframe,
    run,
    wait_for_ledger,
)
from bot.service.loop import GONE_SECONDS
from bot.simulator import generate_candles
from bot.simulator.generate import START
from bot.simulator.market import Market
from tests.harness import (
    HOUR,
    Dial,
    InlineWaiter,
    World,
    environment,
    events_at,
    hourhand,
    model_of,
    poll,
    settings_of,
    world_of,
)

ROOT = Path(__file__).parents[3]


class Steps(InlineWaiter):
    """Instead of waiting, does the next thing of a list, and stops after the last."""

    def __init__(self, *steps: object) -> None:
        super().__init__()
        self.steps = list(steps)

    def wait(self, _seconds: float) -> None:
        if not self.steps:
            self.stop()
            return
        step = self.steps.pop(0)
        if callable(step):
            step()


def test_a_ledger_that_is_locked_at_the_start_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    open_writer(f"sqlite:///{file}").close()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    attempts = []

    def attempt() -> Ledger:
        attempts.append(file)
        return open_writer(f"sqlite:///{file}")

    class Unlocking(Waiter):
        def wait(self, seconds: float) -> None:
            other.close()
            super().wait(seconds)

    wait_for_ledger(attempt, Dial(START).clock, Unlocking(), NO_OBSERVERS).close()
    assert len(attempts) == 2


def test_the_wait_for_a_ledger_ends_with_a_stop_and_with_what_no_wait_mends(tmp_path: Path) -> None:
    def unavailable() -> None:
        raise LedgerUnavailableError("not yet")

    with pytest.raises(Stopped):
        wait_for_ledger(unavailable, Dial(START).clock, Steps(), NO_OBSERVERS)
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(LedgerError, match="not a database"):
        wait_for_ledger(
            lambda: open_writer(f"sqlite:///{tmp_path}/ledger.sqlite"), Dial(START).clock, Steps(), NO_OBSERVERS
        )


def test_the_commands_do_not_wait(tmp_path: Path) -> None:
    save_model(model_of(1), tmp_path / "model")
    other = sqlite3.connect(tmp_path / "l.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    result = hourhand(
        "run", "--once", cwd=tmp_path, HOURHAND_POLICY__MODEL="model", HOURHAND_LEDGER__URL="sqlite:///l.sqlite"
    )
    other.close()
    assert (result.returncode, len(result.stderr.splitlines())) == (4, 1), result.stderr


def test_the_daemon_itself_waits_and_ends_with_0_when_asked(tmp_path: Path) -> None:
    save_model(model_of(1), tmp_path / "model")
    other = sqlite3.connect(tmp_path / "l.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    daemon = subprocess.Popen(
        [sys.executable, "-m", "bot", "run"],
        cwd=tmp_path,
        env=environment(
            PYTHONPATH=str(ROOT), HOURHAND_POLICY__MODEL="model", HOURHAND_LEDGER__URL="sqlite:///l.sqlite"
        ),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert daemon.stderr is not None
    first = json.loads(daemon.stderr.readline())
    daemon.terminate()
    assert daemon.wait(30) == 0
    daemon.stderr.close()
    other.close()
    assert first["event"] == "ledger_unavailable"


def _daemon(world: World, *steps: object) -> Markets:
    """Run the daemon's loop from the 31st hour on, one step each time that it would wait."""
    if not (world.folder / "model").exists():
        save_model(model_of(1), world.folder / "model")
    settings = world.settings(policy={"model": str(world.folder / "model")})
    watcher = TraderWatcher(settings)
    ledger = open_writer(settings.ledger.url)
    feed = Feed(settings.exchange, world.dial.clock)
    markets = Markets(watcher, world.dial.clock, ledger, lambda _: feed)
    try:
        run(markets, 20.0, Steps(*steps))
    finally:
        markets.ledger.close()
    return markets


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose dial is the machine's monotonic clock, too."""
    with world_of(tmp_path) as made:
        for module in (loop, market):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=made.dial))
        _at(made, 30)
        yield made


def _at(world: World, hour: int) -> None:
    world.dial.now = START + (hour + 1) * HOUR + 30.0


def _hours(world: World) -> list[int]:
    return [(row[1] - START) // HOUR for row in world.rows()["decisions"]]


def test_a_file_that_is_gone_and_comes_back_is_gone_on_with(world: World) -> None:
    file, away = world.folder / "ledger.sqlite", world.folder / "away"
    _daemon(
        world,
        lambda: file.rename(away),
        lambda: setattr(world.dial, "now", world.dial.now + GONE_SECONDS / 2),
        lambda: away.rename(file),
        lambda: _at(world, 31),
        lambda: None,
    )
    assert _hours(world) == [30, 31]


def test_a_file_that_stays_away_ends_the_daemon_with_4(world: World) -> None:
    file = world.folder / "ledger.sqlite"
    with pytest.raises(LedgerError, match="missing for 10 minutes") as caught:
        _daemon(world, file.unlink, lambda: None, lambda: _at(world, 31), lambda: None)
    assert caught.value.exit_code == 4
    assert not file.exists()


def test_a_daemon_that_is_stopped_while_its_file_is_gone_does_not_end_with_0(world: World) -> None:
    file = world.folder / "ledger.sqlite"
    with pytest.raises(LedgerGoneError):
        _daemon(world, file.unlink, lambda: None)
    assert not file.exists()


def test_a_copy_in_the_ledgers_place_is_gone_on_with(world: World) -> None:
    def replace() -> None:
        backup(world.url, world.folder / "copy.sqlite")
        _put_in_place(world)

    _daemon(world, replace, lambda: _at(world, 31), lambda: None)
    assert _hours(world) == [30, 31]
    assert "ledger_replaced" in events_at(world.url)


def test_a_clock_before_the_ledgers_newest_bar_is_said_once_and_its_end(world: World, log_lines: list[Any]) -> None:
    """As where a simulated exchange is started anew, and the ledger is that of before."""
    _daemon(world, lambda: None)
    _daemon(world, lambda: _at(world, 10), lambda: None, lambda: None, lambda: _at(world, 31), lambda: None)
    said = [line["event"] for line in log_lines if line["event"].startswith("clock_behind")]
    assert said == ["clock_behind", "clock_behind_over"]
    assert [kind for kind in events_at(world.url) if kind.startswith("clock_behind")] == said
    assert _hours(world) == [30, 31]


def test_another_ledger_in_its_place_ends_the_daemon(world: World) -> None:
    def replace() -> None:
        shutil.copy(ROOT / "tests/data/written_by_0_1/ledger.sqlite", world.folder / "copy.sqlite")
        open_writer(f"sqlite:///{world.folder}/copy.sqlite").close()
        _put_in_place(world)

    with pytest.raises(LedgerError, match="another file"):
        _daemon(world, replace, lambda: _at(world, 31), lambda: None)


def _put_in_place(world: World) -> None:
    for end in ("-wal", "-shm"):
        Path(f"{world.folder}/ledger.sqlite{end}").unlink(missing_ok=True)
    (world.folder / "copy.sqlite").replace(world.folder / "ledger.sqlite")


def _of_timeframe(timeframe: str) -> Model:
    model = model_of(1)
    manifest = json.loads(model.manifest)
    manifest["training"] = {"timeframe": timeframe}
    return parse_model(model.weights, json.dumps(manifest))


def test_a_model_of_another_timeframe_is_refused_unless_allowed() -> None:
    quarter = settings_of(exchange={"timeframe": "15m"})
    require_timeframe(_of_timeframe("15m"), quarter)
    for model in (model_of(1), _of_timeframe("1h")):
        require_timeframe(model, settings_of())
        with pytest.raises(UsageError, match=r"any_timeframe"):
            require_timeframe(model, quarter)
        require_timeframe(
            model, msgspec.structs.replace(quarter, policy=settings_of(policy={"any_timeframe": True}).policy)
        )


def test_replay_refuses_a_model_of_another_timeframe(tmp_path: Path) -> None:
    model, candles = tmp_path / "model", tmp_path / "candles.csv"
    save_model(_of_timeframe("15m"), model)
    candles.write_text("t,o,h,l,c,v\n" + "".join(f"{START + hour * HOUR},9,9,9,9,1\n" for hour in range(5)))
    arguments = ["replay", "--candles", str(candles), "--model", str(model), "--ledger", f"sqlite:///{tmp_path}/r.db"]
    refused = hourhand(*arguments, cwd=tmp_path)
    assert (refused.returncode, refused.stderr.count("any_timeframe")) == (2, 1)
    assert not (tmp_path / "r.db").exists()
    assert hourhand(*arguments, cwd=tmp_path, HOURHAND_POLICY__ANY_TIMEFRAME="true").returncode == 0


def test_a_challengers_own_pointer_is_watched_and_a_broken_one_holds_nobody_up(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for seed in (1, 2):
            save_model(model_of(seed), tmp_path / name / model_of(seed).model_id)
        registry.promote(tmp_path / name / "current", model_of(1).model_id, 1.0)
    settings = msgspec.convert(
        {
            "policy": {"model": str(tmp_path / "one" / "current")},
            "challengers": [{"name": "rival", "model": str(tmp_path / "two" / "current")}],
        },
        type(settings_of()),
    )
    watcher = TraderWatcher(settings)
    registry.promote(tmp_path / "two" / "current", model_of(2).model_id, 2.0)
    reload = watcher.reload()
    assert reload is not None
    assert [trader.model.model_id for trader in reload.traders] == [model_of(1).model_id, model_of(2).model_id]
    (tmp_path / "two" / "current").write_text("nonsense")
    registry.promote(tmp_path / "one" / "current", model_of(2).model_id, 3.0)
    reload = watcher.reload()
    assert reload is not None
    assert [trader.model.model_id for trader in reload.traders] == [model_of(2).model_id] * 2
    assert [sentence.startswith("challenger rival: ") for sentence in reload.rejected] == [True]
    with pytest.raises(ModelError, match="challenger rival"):
        TraderWatcher(settings)


def _without_symbol(world: World) -> None:
    world.exchange.market = Market(world.exchange.candles, HOUR, "ETH/USD")


def test_a_symbol_that_the_exchange_lacks_ends_a_daemon_that_never_decided(world: World) -> None:
    _without_symbol(world)
    with pytest.raises(UsageError, match="BTC/USD"):
        _daemon(world, lambda: None)


def test_a_daemon_with_decisions_stays_where_the_list_lacks_its_symbol(world: World) -> None:
    _daemon(world)
    _without_symbol(world)
    _at(world, 31)
    _daemon(world, lambda: None)
    assert _hours(world) == [30]
    assert "exchange_error" in events_at(world.url)


def test_a_poll_comes_back_at_each_bar_of_a_long_catch_up(world: World) -> None:
    """Between two of them the loop feeds systemd's watchdog, and decides what other markets have answered."""
    _daemon(world)
    _at(world, 60)
    with world.poller(model_of(1)) as poller:
        one, bars = Poll(poller, InlineWaiter()), []
        while not one.advance():
            bars.append(poller.account_states[0].bar_time)
        assert one.bars == 30
    assert len(set(bars)) == 31  # and once before the first, when the exchange has answered


def test_an_exchange_that_lacks_all_that_is_stored_is_believed_only_after_hours(world: World) -> None:
    _daemon(world)
    shown = world.exchange.candles
    world.exchange.candles = [candle for candle in shown if candle.bar_time > START + 40 * HOUR]
    _at(world, 45)
    with world.poller(model_of(1)) as poller:
        for minutes in (0, 30, 90):
            world.dial.now += 60 * minutes
            with pytest.raises(ExchangeError, match="none of the stored candles"):
                poll(poller)
    assert _hours(world) == [30]
    world.dial.now += 60
    with world.poller(model_of(1)) as poller:  # the polls before count, whichever process made them
        poll(poller)
    assert _hours(world)[:2] == [30, 31]
    assert events_at(world.url).count("missing_overlap") == 3


def test_another_markets_prices_are_never_decided_on(world: World) -> None:
    _daemon(world)
    world.exchange.candles = generate_candles(400, seed=4, holes=0.0)
    _at(world, 31)
    with world.poller(model_of(1)) as poller, pytest.raises(LedgerError) as caught:
        poll(poller)
    assert caught.value.exit_code == 4
    _daemon(world, lambda: None)
    assert _hours(world) == [30]
    assert "exchange_error" in events_at(world.url)
