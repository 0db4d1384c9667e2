"""What may pass and what needs a person, by the databases' own codes; faults made for real."""

import errno
import os
import resource
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from bot.errors import LedgerError, LedgerUnavailableError
from bot.ledger import open_writer, tables
from bot.ledger.failures import ledger_error, may_pass
from tests.harness import filled, model_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return filled(tmp_path / "ledger.sqlite", model_of(1))


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("some words")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_BUSY_RECOVERY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY_DBMOVED,
    ],
)
def test_sqlite_trouble_that_passes(code: int) -> None:
    assert may_pass(sqlite_error(code))


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_CANTOPEN_ISDIR,
        sqlite3.SQLITE_PERM,
    ],
)
def test_sqlite_trouble_that_stays(code: int) -> None:
    assert not may_pass(sqlite_error(code))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE, errno.ESTALE])
def test_file_trouble_that_passes(number: int) -> None:
    assert isinstance(ledger_error("x", OSError(number, os.strerror(number))), LedgerUnavailableError)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENOTDIR])
def test_file_trouble_that_stays(number: int) -> None:
    assert not isinstance(ledger_error("x", OSError(number, os.strerror(number))), LedgerUnavailableError)


def test_a_limit_of_the_files_size_passes(file: Path) -> None:
    """As a quota does: the transaction is rolled back, and goes through once there is room again."""
    ledger = open_writer(f"sqlite:///{file}")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    event = {"at": 1.0, "kind": "note", "detail": "x" * 10_000}
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size // 2, before[1]))
    try:
        with pytest.raises(LedgerUnavailableError), ledger.writing() as connection:
            connection.execute(insert(tables.events), [event] * 50)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with ledger.writing() as connection:
        connection.execute(insert(tables.events), [event])
    ledger.close()


@pytest.mark.parametrize("content", ["nothing", "a ledger"])
def test_a_limit_of_the_files_size_passes_at_the_start(file: Path, content: str) -> None:
    if content == "nothing":
        file.unlink()
    script = f"""
        import resource
        from bot.errors import LedgerUnavailableError
        from bot.ledger import open_writer
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
        try:
            open_writer("sqlite:///{file}")
        except LedgerUnavailableError:
            print("unavailable")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        open_writer("sqlite:///{file}").close()
        print("open")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "unavailable\nopen\n", done.stderr


def test_another_programs_lock_passes(file: Path) -> None:
    script = f"""
        import sqlite3, sys
        connection = sqlite3.connect({str(file)!r}, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        print("locked", flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(LedgerUnavailableError, match="locked"):
            open_writer(f"sqlite:///{file}")
        holder.stdin.close()
    open_writer(f"sqlite:///{file}").close()


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}", f"sqlite:///{filled(tmp_path / 'x.sqlite', model_of(1))}/ledger.sqlite"):
        with pytest.raises(LedgerError) as failure:
            open_writer(url)
        assert not isinstance(failure.value, LedgerUnavailableError)


def test_a_wrong_statement_stays(file: Path) -> None:
    ledger = open_writer(f"sqlite:///{file}")
    with pytest.raises(LedgerError) as failure, ledger.writing() as connection:
        connection.execute(text("SELECT nothing FROM nowhere"))
    assert not isinstance(failure.value, LedgerUnavailableError)
    ledger.close()
