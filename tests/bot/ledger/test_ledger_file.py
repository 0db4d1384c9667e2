"""The ledger's file: its lock belongs to the file, not to its path; it may be removed, moved or replaced."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from sqlalchemy import insert

from bot.errors import LedgerError, LedgerGoneError, LedgerInUseError, LedgerReplacedError, UsageError
from bot.ledger import Ledger, backup, continues, is_in_use, open_reader, open_writer, tables, verify
from tests.harness import filled, model_of, rows_at, world_of

MODEL = model_of(1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return filled(tmp_path / "ledger.sqlite", MODEL)


def write_event(ledger: Ledger) -> None:
    with ledger.writing() as connection:
        connection.execute(insert(tables.events).values(at=1.0, kind="note", detail="{}"))


# ---- the lock


def open_elsewhere(url: str) -> str:
    """What a second process meets when it opens the ledger for writing."""
    script = f"""
        from bot.errors import HourhandError
        from bot.ledger import open_writer
        try:
            open_writer({url!r}).close()
        except HourhandError as error:
            print(type(error).__name__)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_link_lets_no_second_writer_in(file: Path, tmp_path: Path, link: str) -> None:
    other = tmp_path / "other.sqlite"
    getattr(other, link)(file)
    ledger = open_writer(f"sqlite:///{file}")
    assert is_in_use(f"sqlite:///{other}")
    with pytest.raises(LedgerInUseError):
        open_writer(f"sqlite:///{other}")
    assert open_elsewhere(f"sqlite:///{other}") == "LedgerInUseError"
    ledger.close()
    assert open_elsewhere(f"sqlite:///{other}") == ""


def test_no_file_beside_the_ledger_holds_the_lock(file: Path) -> None:
    ledger = open_writer(f"sqlite:///{file}")
    for path in file.parent.glob("*.lock"):
        path.unlink()
    assert open_elsewhere(f"sqlite:///{file}") == "LedgerInUseError"
    ledger.close()


def test_asking_for_the_lock_keeps_sqlites_own_locks(file: Path) -> None:
    """Closing any descriptor of a file drops the process's fcntl locks on it."""

    def locks() -> int:
        inode = f":{file.stat().st_ino} "
        return sum(inode in line and "POSIX" in line for line in Path("/proc/locks").read_text().splitlines())

    reader, writer = open_reader(f"sqlite:///{file}"), open_writer(f"sqlite:///{file}")
    write_event(writer)
    with reader.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM decisions").scalar_one()
        before = locks()
        assert before > 0
        assert is_in_use(f"sqlite:///{file}")
        with pytest.raises(LedgerInUseError):
            open_writer(f"sqlite:///{file}")
        writer.close()
        assert not is_in_use(f"sqlite:///{file}")
        assert locks() > 0
    reader.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_asking_often_leaves_no_descriptors_behind(file: Path) -> None:
    reader = open_reader(f"sqlite:///{file}")
    is_in_use(f"sqlite:///{file}")
    before = descriptors()
    for _ in range(20):
        assert not is_in_use(f"sqlite:///{file}")
        open_writer(f"sqlite:///{file}").close()
    assert descriptors() <= before + 1
    reader.close()
    assert descriptors() < before


# ---- the path


@pytest.mark.parametrize("name", ["a#b.sqlite", "a b.sqlite", "ünï.sqlite", "a%25b.sqlite", "a%3Fb.sqlite"])
def test_every_name_is_one(tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{tmp_path}/{name}"
    open_writer(url).close()
    decoded = name.replace("%25", "%").replace("%3F", "?")
    assert [path.name for path in tmp_path.iterdir()] == [decoded]
    open_reader(url).close()


@pytest.mark.parametrize("name", ["a?b.sqlite", "ledger.sqlite?mode=ro"])
def test_a_question_mark_does_not_cut_the_path(tmp_path: Path, name: str) -> None:
    for call in (open_writer, open_reader, is_in_use):
        with pytest.raises(UsageError, match="%3F"):
            call(f"sqlite:///{tmp_path}/{name}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["postgresql://u:hunter2@h:port/x", "mysql://u:hunter2@h/x", "u:hunter2@", "postgresql+x://u:hunter2@h/x"]
)
def test_an_address_that_cannot_be_used_is_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match=r"ledger\.url") as failure:
        open_writer(url)
    assert "hunter2" not in str(failure.value)


def test_a_password_in_the_query_is_not_shown() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(LedgerError) as failure:
        open_writer("postgresql://u:hunter2@/x?host=/nowhere&password=hunter3")
    assert "hunter" not in str(failure.value)
    assert "/nowhere" in str(failure.value)


# ---- under a running daemon


def test_a_file_that_is_gone_is_said_and_never_made_again(file: Path) -> None:
    ledger = open_writer(f"sqlite:///{file}")
    ledger.check_file()
    moved = file.rename(file.with_name("moved.sqlite"))
    with pytest.raises(LedgerGoneError, match="gone"):
        ledger.check_file()
    ledger.engine.dispose()  # a connection made again
    with pytest.raises(LedgerGoneError), ledger.reading():
        pass
    assert not file.exists()
    moved.rename(file)
    ledger.check_file()
    write_event(ledger)
    ledger.close()


def test_another_file_is_not_written_to(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    backup(f"sqlite:///{file}", copy)
    before = copy.read_bytes()
    ledger = open_writer(f"sqlite:///{file}")
    copy.replace(file)
    with pytest.raises(LedgerReplacedError):
        ledger.check_file()
    ledger.engine.dispose()
    with pytest.raises(LedgerReplacedError), ledger.writing():
        pass
    ledger.close()
    assert file.read_bytes() == before


def test_a_backup_of_ones_own_past_continues_a_ledger_and_nothing_else_does(tmp_path: Path) -> None:
    copy, elsewhere, empty = (tmp_path / f"{name}.sqlite" for name in ("copy", "elsewhere", "empty"))
    filled(elsewhere, MODEL, 5)
    open_writer(f"sqlite:///{empty}").close()
    with world_of(tmp_path) as world, world.poller(MODEL) as poller:
        world.run(poller, range(30, 33))
        backup(world.url, copy)
        world.run(poller, [33])
        assert continues(poller.ledger, f"sqlite:///{copy}")
        (tmp_path / "ledger.sqlite").unlink()
        assert continues(poller.ledger, f"sqlite:///{copy}")
        for other in (elsewhere, empty, tmp_path / "nowhere.sqlite"):
            assert not continues(poller.ledger, f"sqlite:///{other}")
        shutil.copy(copy, tmp_path / "broken.sqlite")
        with (tmp_path / "broken.sqlite").open("r+b") as out:
            out.seek(8192)
            out.write(b"\xff" * 8192)
        assert not continues(poller.ledger, f"sqlite:///{tmp_path}/broken.sqlite")
    assert len(rows_at(f"sqlite:///{copy}")["decisions"]) == 3


def test_a_backup_put_under_a_running_daemon_does_not_get_its_log(tmp_path: Path) -> None:
    """The log of the ledger that was replaced lies at the same path, and would be replayed onto the backup."""
    with world_of(tmp_path) as world, world.poller(MODEL) as poller:
        world.run(poller, range(30, 33))
        backup(world.url, tmp_path / "copy.sqlite")
        expected = rows_at(f"sqlite:///{tmp_path}/copy.sqlite")
        world.run(poller, range(33, 40))
        assert (tmp_path / "ledger.sqlite-wal").stat().st_size > 0
        for path in tmp_path.glob("copy.sqlite-*"):
            path.unlink()
        (tmp_path / "copy.sqlite").replace(tmp_path / "ledger.sqlite")
        assert continues(poller.ledger, world.url)
        other = open_writer(world.url)
        write_event(other)
        poller.ledger.close()
        write_event(other)
        poller.ledger = other
        assert rows_at(world.url) == expected
        with other.reading() as connection:
            assert verify(connection).differences == []
    assert rows_at(world.url) == expected
