"""The start: a ledger that is locked is waited for, models of another timeframe are refused, pointers are watched."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bot.errors import LedgerError, LedgerUnavailableError, ModelError, UsageError
from bot.ledger import Ledger, open_writer
from bot.model import Model, parse_model, registry, save_model
from bot.observers import NO_OBSERVERS
from bot.service import Stopped, TraderWatcher, Waiter, require_timeframe, wait_for_ledger
from bot.simulator.generate import START
from tests.bot.service.steps import Steps
from tests.harness import HOUR, Dial, environment, hourhand, model_of, settings_of

ROOT = Path(__file__).parents[3]


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
