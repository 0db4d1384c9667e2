"""TraderWatcher swapped under a running daemon: between two bars, whole, by name, and never in a bar's way."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from bot.ledger import Ledger, open_writer, tables, verify
from bot.ledger.reading import read_events
from bot.market import Feed
from bot.model import parse_model, registry, save_model
from bot.model.features import RETURNS
from bot.service import Markets, TraderWatcher, run
from bot.service.loop import SWAP_SECONDS
from bot.simulator.generate import START
from tests.bad_models import KINDS, spoil
from tests.harness import HOUR, InlineWaiter, World, hourhand, model_of, world_of
from tests.swap_campaign import campaign

SPOILT_ID = "bad0bad0bad0bad0"
MODELS = [model_of(1), model_of(2), model_of(3, RETURNS, "heads")]
IDS = [model.model_id for model in MODELS]
DELAY = 20.0
FIRST = 30  # the hour of the first bar

Deed = Callable[[], object]


class Script(InlineWaiter):
    """Instead of waiting, does the next deed of a list, and stops after the last."""

    def __init__(self, deeds: Sequence[Deed]) -> None:
        super().__init__()
        self.deeds = iter(deeds)

    def wait(self, _seconds: float) -> None:
        deed = next(self.deeds, None)
        if deed is None:
            self.stop()
        else:
            deed()


@dataclass
class Stage:
    """A daemon's loop with a registry, whose time and models the deeds of a script change."""

    world: World
    pointer: Path
    ledger: Ledger

    def play(self, *deeds: Deed) -> None:
        """Run the daemon, one deed each time that it would wait."""
        settings = self.world.settings(policy={"model": str(self.pointer)})
        models = TraderWatcher(settings)
        feed, clock = Feed(settings.exchange, self.world.dial.clock), self.world.dial.clock
        run(Markets(models, clock, self.ledger, lambda _: feed), DELAY, Script(deeds))

    def to(self, hour: int, second: float = DELAY + 1) -> Deed:
        """Move the clock to `second` after the close of that hour's bar."""

        def move() -> None:
            self.world.dial.now = START + (hour + 1) * HOUR + second

        return move

    def promote(self, model_id: str) -> Deed:
        """Promote a model, whatever it is, as a hand or a broken disk could."""

        def put() -> None:
            part = self.pointer.with_name("part")
            part.write_bytes(msgspec.json.encode(registry.Pointer(model_id, self.world.dial.now)))
            part.replace(self.pointer)

        return put

    def bars(self) -> list[tuple[int, str]]:
        """Hour and model of every decision."""
        d = tables.decisions.c
        with self.ledger.reading() as connection:
            rows = connection.execute(select(d.bar_time, d.model_id).order_by(d.bar_time)).all()
        return [((row[0] - START) // HOUR, row[1]) for row in rows]

    def events(self, kind: str) -> list[dict[str, Any]]:
        with self.ledger.reading() as connection:
            return read_events(connection, kind)

    def differences(self) -> list[str]:
        with self.ledger.reading() as connection:
            return verify(connection).differences


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    for model in MODELS:
        save_model(model, tmp_path / "models" / model.model_id)
    pointer = tmp_path / "models" / "current"
    registry.promote(pointer, IDS[0], 10.0)
    with world_of(tmp_path) as world:
        ledger = open_writer(world.url)
        made = Stage(world, pointer, ledger)
        made.to(FIRST)()
        for module in ("loop", "market"):
            monkeypatch.setattr(f"bot.service.{module}.time", SimpleNamespace(monotonic=world.dial))
        yield made
        ledger.close()


def both(*deeds: Deed) -> Deed:
    """Several deeds in one wait."""

    def do() -> None:
        for deed in deeds:
            deed()

    return do


def nothing() -> None:
    """The loop goes round once more."""


def test_a_promotion_is_taken_up_between_two_bars(stage: Stage) -> None:
    stage.play(
        stage.to(31),
        stage.promote(IDS[1]),
        nothing,
        stage.to(32),
        stage.to(33),
        stage.promote(IDS[2]),
        nothing,
        stage.to(35),
    )
    models = dict(stage.bars())
    assert models == {30: IDS[0], 31: IDS[0], 32: IDS[1], 33: IDS[1], 34: IDS[2], 35: IDS[2]}
    assert stage.events("model_swapped") == [
        {"account": "main", "bar_time": START + hour * HOUR, "before": IDS[n], "now": IDS[n + 1]}
        for n, hour in enumerate((32, 34))
    ]
    assert stage.differences() == []


def test_the_account_goes_on_as_it_was(stage: Stage) -> None:
    stage.play(stage.promote(IDS[1]), nothing, *(stage.to(hour) for hour in range(31, 40)))
    d, f = tables.decisions.c, tables.fills.c
    with stage.ledger.reading() as connection:
        rows = connection.execute(select(d.bar_time, d.balance, d.stocks, d.warmup_from).order_by(d.bar_time)).all()
        fills = {row.bar_time: row for row in connection.execute(select(f.bar_time, f.side, f.amount, f.cost))}
    assert [row.warmup_from is not None for row in rows] == [True, True] + [False] * 8
    for before, now in pairwise(rows):
        fill = fills.get(now.bar_time)
        moved = {"buy": 1, "sell": -1}[fill.side] * fill.amount if fill else 0.0
        assert now.stocks == pytest.approx(before.stocks + moved, rel=1e-12)


def test_a_bar_that_is_due_comes_before_the_swap(stage: Stage) -> None:
    """No bar waits for a model to be loaded and warmed up: not when the two come together, and not when the bar is due
    within half a second.
    """
    soon = DELAY - SWAP_SECONDS / 2
    stage.play(
        both(stage.promote(IDS[1]), stage.to(31)),
        stage.to(32),
        both(stage.promote(IDS[2]), stage.to(33, soon)),
        nothing,
        stage.to(33),
        stage.to(34),
    )
    assert stage.bars() == [(30, IDS[0]), (31, IDS[0]), (32, IDS[1]), (33, IDS[1]), (34, IDS[2])]


def test_there_and_back_between_two_bars_is_no_swap(stage: Stage) -> None:
    stage.play(stage.promote(IDS[1]), nothing, stage.promote(IDS[0]), nothing, stage.to(31))
    assert stage.bars() == [(30, IDS[0]), (31, IDS[0])]
    assert stage.events("model_swapped") == []
    assert stage.differences() == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_model_is_rejected_by_name_and_the_old_one_trades_on(stage: Stage, tmp_path: Path, kind: str) -> None:
    spoil(MODELS[1], kind, stage.pointer.parent / SPOILT_ID, tmp_path / "crater")
    stage.play(
        stage.promote(SPOILT_ID),
        nothing,
        stage.to(31),
        stage.to(32),
        stage.promote(IDS[1]),
        nothing,
        stage.to(33),
    )
    (rejected,) = stage.events("model_rejected")
    assert rejected["pointer"] == SPOILT_ID
    assert KINDS[kind] in rejected["error"]
    assert str(stage.pointer.parent / SPOILT_ID) in rejected["error"]
    assert stage.bars() == [(30, IDS[0]), (31, IDS[0]), (32, IDS[0]), (33, IDS[1])]
    assert not (tmp_path / "crater").exists()
    assert stage.differences() == []


@pytest.mark.parametrize("content", [None, b"", b'{"model_id": "../models"}', b'{"model_id": "gone"}'])
def test_a_pointer_to_nothing_is_rejected_once(stage: Stage, content: bytes | None) -> None:
    def ruin() -> None:
        if content is None:
            stage.pointer.unlink()
        else:
            stage.pointer.write_bytes(content)

    stage.play(ruin, nothing, nothing, stage.to(31))
    assert len(stage.events("model_rejected")) == 1
    assert stage.bars() == [(30, IDS[0]), (31, IDS[0])]


def test_a_hangup_looks_at_the_pointer_again(stage: Stage) -> None:
    watcher = TraderWatcher(stage.world.settings(policy={"model": str(stage.pointer)}))
    assert watcher.reload() is None
    watcher.recheck()
    reload = watcher.reload()
    assert reload is not None
    assert [trader.model.model_id for trader in reload.traders] == [IDS[0]]
    assert watcher.reload() is None


def test_a_daemon_does_not_start_with_a_model_that_would_run_code(stage: Stage, tmp_path: Path) -> None:
    spoil(MODELS[1], "pickled", stage.pointer.parent / SPOILT_ID, tmp_path / "crater")
    stage.promote(SPOILT_ID)()
    process = hourhand(
        "run", cwd=tmp_path, HOURHAND_POLICY__MODEL=str(stage.pointer), HOURHAND_LEDGER__URL="sqlite:///l"
    )
    assert process.returncode == 5
    assert process.stderr.startswith(f"hourhand: the model in {stage.pointer.parent / SPOILT_ID} cannot be used")
    assert len(process.stderr.splitlines()) == 1
    assert not (tmp_path / "crater").exists()


def test_run_once_tells_of_a_model_that_was_promoted_meanwhile(stage: Stage, tmp_path: Path) -> None:
    stage.play()
    registry.promote(stage.pointer, IDS[2], 20.0)
    stage.ledger.close()
    stage.to(32)()
    process = hourhand(
        "run", "--once", "--json", cwd=tmp_path,
        HOURHAND_CLOCK=f"@{stage.world.dial.now:.0f}", HOURHAND_EXCHANGE__BASE_URL=stage.world.exchange.url,
        HOURHAND_LEDGER__URL=stage.world.url, HOURHAND_POLICY__MODEL=str(stage.pointer),
        HOURHAND_SCHEDULE__WARMUP_BARS="20",
    )  # fmt: skip
    assert json.loads(process.stdout)["bars"] == 2, process.stderr
    assert stage.bars() == [(30, IDS[0]), (31, IDS[2]), (32, IDS[2])]
    assert [event["now"] for event in stage.events("model_swapped")] == [IDS[2]]
    assert stage.differences() == []


def test_a_model_keeps_its_name_whatever_is_said_about_it() -> None:
    manifest = json.loads(MODELS[0].manifest) | {"evaluation": {"sharpe": 9.0}, "training": {"seed": 3}}
    assert parse_model(MODELS[0].weights, json.dumps(manifest)).model_id == IDS[0]


def test_a_short_campaign(tmp_path: Path) -> None:
    """Promotions, rollbacks, bad models and kills at random; `make swaps` runs a long one."""
    report = campaign(6, 180, 4, tmp_path, warmup=60)
    assert report["promotions"] + report["rollbacks"] == 6
    assert report["bad_models"] > 0
    assert report["kills"] > 0
    assert report["bars"] > 150
    assert report["swaps"] > 0
    assert (report["accepted"], report["unmarked"], report["by_others"], report["verify_differences"]) == ([], 0, 0, 0)
