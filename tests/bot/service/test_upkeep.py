"""The ledger over the years: backups, migrations, a disk that fills up."""

import contextlib
import sqlite3
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.errors import LedgerError, LedgerUnavailableError, UsageError
from bot.ledger import backup, open_reader, open_writer, store, tables, verify
from bot.ledger.migrate import MIGRATIONS
from bot.ledger.migrate import migrate as to_head
from bot.simulator import generate_candles
from tests.harness import events_at, filled, model_of, rows_at, world_of

MODEL = model_of(1)
CANDLES = generate_candles(120, seed=5, holes=0, quiet=0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return filled(tmp_path / "ledger.sqlite", MODEL)


def test_a_backup_is_whole_while_the_daemon_writes(tmp_path: Path) -> None:
    with world_of(tmp_path) as world, world.poller(MODEL) as poller:
        world.run(poller, range(30, 33))
        backup(world.url, tmp_path / "copy.sqlite")
        assert rows_at(f"sqlite:///{tmp_path}/copy.sqlite") == world.rows()
        world.run(poller, [33])
    with pytest.raises(UsageError, match="never overwrites a file"):
        backup(f"sqlite:///{tmp_path}/ledger.sqlite", tmp_path / "copy.sqlite")
    with pytest.raises(LedgerError, match="could not be written"):
        backup(f"sqlite:///{tmp_path}/ledger.sqlite", tmp_path / "nowhere" / "copy.sqlite")
    assert len(rows_at(f"sqlite:///{tmp_path}/copy.sqlite")["decisions"]) == 3


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Migrations with one more, and a program that knows it."""
    scripts = tmp_path / "migrations"
    (scripts / "versions").mkdir(parents=True)
    for script in [MIGRATIONS / "env.py", *MIGRATIONS.glob("versions/*.py")]:
        (scripts / script.relative_to(MIGRATIONS)).write_text(script.read_text())
    (scripts / "versions" / "9998_note.py").write_text(
        textwrap.dedent("""
            from alembic import op
            import sqlalchemy as sa
            revision, down_revision = "9998", "%s"
            def upgrade():
                op.add_column("events", sa.Column("note", sa.Text))
                op.execute("INSERT INTO events (at, kind, detail, note) VALUES (1.0, 'migrated', '{}', 'x')")
        """)
        % tables.REVISION
    )
    monkeypatch.setattr(store, "REVISION", "9998")
    monkeypatch.setattr("bot.ledger.migrate.migrate", lambda connection: to_head(connection, scripts))
    return scripts / "versions" / "9998_note.py"


def test_an_older_ledger_is_copied_and_brought_up_to_date(file: Path, next_version: Path) -> None:
    assert next_version.exists()
    url = f"sqlite:///{file}"
    with pytest.raises(LedgerError, match="older version"):
        open_reader(url)
    ledger = open_writer(url)
    with ledger.reading() as connection:
        assert connection.execute(text("SELECT note FROM events")).scalars().all() == ["x"]
        assert verify(connection) == (30, [])
    ledger.close()
    copy = file.with_name("ledger.sqlite.before-9998")
    with sqlite3.connect(copy) as copied:
        assert copied.execute("SELECT count(*) FROM decisions").fetchone() == (30,)
        assert copied.execute("SELECT version_num FROM alembic_version").fetchone() == (tables.REVISION,)
    copied.close()
    open_writer(url).close()  # once is enough


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(file: Path, next_version: Path) -> None:
    next_version.write_text(next_version.read_text().replace("INSERT INTO events", "INSERT nothing"))
    with pytest.raises(LedgerError, match="syntax error"):
        open_writer(f"sqlite:///{file}")
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (tables.REVISION,)
        assert "note" not in [row[1] for row in connection.execute("PRAGMA table_info(events)")]
    connection.close()


# ---- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of eight megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill_up(disk: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(512))
    return ballast


def test_a_full_disk_costs_no_bar(small_disk: Path) -> None:
    """The bar is rolled back and decided again once there is room; the rows are those of an undisturbed run."""
    url = f"sqlite:///{small_disk}/ledger.sqlite"
    with world_of(small_disk.parent) as world:
        with world.poller(MODEL, schedule={"catch_up": "trade"}) as poller:
            world.run(poller, range(30, 60))
        with world.poller(MODEL, schedule={"catch_up": "trade"}, ledger={"url": url}) as poller:
            world.run(poller, range(30, 33))
            ballast = fill_up(small_disk)
            hour, full, before = 33, False, rows_at(url)
            while not full:
                before = rows_at(url)
                try:
                    world.run(poller, [hour])
                    hour += 1
                except LedgerUnavailableError as error:
                    full = "full" in str(error)
            assert rows_at(url) == before
            assert len(before["decisions"]) == hour - 30
            poller.note("lost", why="no room")
            with pytest.raises(LedgerUnavailableError, match="full"):
                world.run(poller, [hour + 1])
            assert rows_at(url) == before
            ballast.unlink()
            world.run(poller, range(hour + 2, 60))
        assert rows_at(url) == world.rows()
        assert "lost" not in events_at(url)
        ledger = open_reader(url)
        with ledger.reading() as connection:
            assert verify(connection) == (30, [])
        ledger.close()
