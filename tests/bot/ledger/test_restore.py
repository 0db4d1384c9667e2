"""`restore` puts a backup in the ledger's place, or changes nothing."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert

from bot.errors import LedgerError, LedgerInUseError, UsageError
from bot.ledger import backup, open_reader, open_writer, reading, restore, tables, verify
from tests.harness import filled, model_of, rows_at

WRITTEN_BY_0_1 = Path(__file__).parents[2] / "data" / "written_by_0_1" / "ledger.sqlite"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return filled(tmp_path / "ledger.sqlite", model_of(1))


@pytest.fixture
def copy(file: Path, tmp_path: Path) -> Path:
    backup(f"sqlite:///{file}", tmp_path / "copy.sqlite")
    return tmp_path / "copy.sqlite"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_backup_takes_the_place_of_a_ledger_with_a_stale_log(file: Path, copy: Path, tmp_path: Path) -> None:
    """The write-ahead log that a killed daemon left is not replayed onto the copy."""
    expected = rows_at(f"sqlite:///{copy}")
    ledger = open_writer(f"sqlite:///{file}")
    with ledger.writing() as connection:
        connection.execute(insert(tables.events).values(at=1.0, kind="late", detail="{}"))
    for end in ("", "-wal", "-shm"):
        shutil.copy(f"{file}{end}", tmp_path / f"killed{end}")
    ledger.close()
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"killed{end}").replace(f"{file}{end}")
    assert Path(f"{file}-wal").stat().st_size > 0
    kept = restore(copy, f"sqlite:///{file}")
    assert kept is not None
    assert kept.name.startswith("ledger.sqlite.2")
    assert rows_at(f"sqlite:///{file}") == expected
    for path, events in ((file, []), (kept, [{}])):
        reader = open_reader(f"sqlite:///{path}")
        with reader.reading() as connection:
            assert reading.read_events(connection, "late") == events
            assert verify(connection).differences == []
        reader.close()
    assert copy.exists()
    assert not list(tmp_path.glob("*restoring*"))


def test_a_link_to_a_ledger_on_another_file_system_stays_one(file: Path, copy: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        far, link = Path(folder, "far.sqlite"), tmp_path / "link.sqlite"
        filled(far, model_of(2))
        link.symlink_to(far)
        kept = restore(copy, f"sqlite:///{link}")
        assert link.is_symlink()
        assert kept is not None
        assert (kept.parent, sorted(path.name for path in far.parent.iterdir())) == (far.parent, [far.name, kept.name])
        assert rows_at(f"sqlite:///{far}") == rows_at(f"sqlite:///{file}")


def test_a_backup_is_put_where_there_is_no_ledger(copy: Path, tmp_path: Path) -> None:
    assert restore(copy, f"sqlite:///{tmp_path}/deep/down.sqlite") is None
    assert rows_at(f"sqlite:///{tmp_path}/deep/down.sqlite") == rows_at(f"sqlite:///{copy}")


def test_a_backup_takes_the_place_of_a_corrupt_ledger(file: Path, copy: Path) -> None:
    file.write_bytes(b"not a ledger any more")
    kept = restore(copy, f"sqlite:///{file}")
    assert kept is not None
    assert kept.read_bytes() == b"not a ledger any more"
    open_writer(f"sqlite:///{file}").close()


def test_a_backup_by_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    before = WRITTEN_BY_0_1.read_bytes()
    restore(WRITTEN_BY_0_1, f"sqlite:///{tmp_path}/ledger.sqlite")
    reader = open_reader(f"sqlite:///{tmp_path}/ledger.sqlite")
    with reader.reading() as connection:
        assert verify(connection).differences == []
    reader.close()
    assert WRITTEN_BY_0_1.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {f"ledger.sqlite{end}" for end in ("", "-wal", "-shm")}


def test_a_daemon_is_not_disturbed(file: Path, copy: Path, tmp_path: Path) -> None:
    ledger = open_writer(f"sqlite:///{file}")
    before = contents(tmp_path)
    with pytest.raises(LedgerInUseError):
        restore(copy, f"sqlite:///{file}")
    assert contents(tmp_path) == before
    ledger.close()


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE decisions SET balance = balance + 1 WHERE bar_time = (SELECT max(bar_time) FROM decisions)",
        "UPDATE alembic_version SET version_num = '9999'",
        "DROP TABLE decisions",
    ],
)
def test_an_unsound_backup_changes_nothing(file: Path, copy: Path, tmp_path: Path, spoil: str) -> None:
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute(spoil)
    before = contents(tmp_path)
    with pytest.raises(LedgerError):
        restore(copy, f"sqlite:///{file}")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"Dear diary, " * 1000, None])
def test_something_else_changes_nothing(file: Path, tmp_path: Path, content: bytes | None) -> None:
    other = tmp_path / "other"
    if content is not None:
        other.write_bytes(content)
    before = contents(tmp_path)
    with pytest.raises(LedgerError):
        restore(other, f"sqlite:///{file}")
    assert contents(tmp_path) == before


def test_a_ledger_is_no_backup_of_itself_and_postgres_has_its_own_tool(file: Path) -> None:
    with pytest.raises(UsageError, match="itself"):
        restore(file, f"sqlite:///{file}")
    pytest.importorskip("psycopg")
    with pytest.raises(UsageError, match="pg_restore"):
        restore(file, "postgresql://u@/x")
