"""A ledger's file that goes, comes back, or is another one, under a daemon that runs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.errors import LedgerError, LedgerGoneError
from bot.ledger import backup, open_writer
from bot.service.loop import GONE_SECONDS
from tests.bot.service.steps import daemon, decided_hours, set_hour, stepped_world
from tests.harness import World, events_at

ROOT = Path(__file__).parents[3]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with stepped_world(tmp_path, monkeypatch) as made:
        yield made


def test_a_file_that_is_gone_and_comes_back_is_gone_on_with(world: World) -> None:
    file, away = world.folder / "ledger.sqlite", world.folder / "away"
    daemon(
        world,
        lambda: file.rename(away),
        lambda: setattr(world.dial, "now", world.dial.now + GONE_SECONDS / 2),
        lambda: away.rename(file),
        lambda: set_hour(world, 31),
        lambda: None,
    )
    assert decided_hours(world) == [30, 31]


def test_a_file_that_stays_away_ends_the_daemon_with_4(world: World) -> None:
    file = world.folder / "ledger.sqlite"
    with pytest.raises(LedgerError, match="missing for 10 minutes") as caught:
        daemon(world, file.unlink, lambda: None, lambda: set_hour(world, 31), lambda: None)
    assert caught.value.exit_code == 4
    assert not file.exists()


def test_a_daemon_that_is_stopped_while_its_file_is_gone_does_not_end_with_0(world: World) -> None:
    file = world.folder / "ledger.sqlite"
    with pytest.raises(LedgerGoneError):
        daemon(world, file.unlink, lambda: None)
    assert not file.exists()


def test_a_copy_in_the_ledgers_place_is_gone_on_with(world: World) -> None:
    def replace() -> None:
        backup(world.url, world.folder / "copy.sqlite")
        _put_in_place(world)

    daemon(world, replace, lambda: set_hour(world, 31), lambda: None)
    assert decided_hours(world) == [30, 31]
    assert "ledger_replaced" in events_at(world.url)


def test_another_ledger_in_its_place_ends_the_daemon(world: World) -> None:
    def replace() -> None:
        shutil.copy(ROOT / "tests/data/written_by_0_1/ledger.sqlite", world.folder / "copy.sqlite")
        open_writer(f"sqlite:///{world.folder}/copy.sqlite").close()
        _put_in_place(world)

    with pytest.raises(LedgerError, match="another file"):
        daemon(world, replace, lambda: set_hour(world, 31), lambda: None)


def _put_in_place(world: World) -> None:
    for end in ("-wal", "-shm"):
        Path(f"{world.folder}/ledger.sqlite{end}").unlink(missing_ok=True)
    (world.folder / "copy.sqlite").replace(world.folder / "ledger.sqlite")
