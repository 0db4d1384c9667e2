"""Opening a ledger: one writer behind a lock, readers that cannot write, and errors as one sentence."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from sqlalchemy import Connection, Engine, create_engine, func, insert, inspect, select, text
from sqlalchemy.pool import NullPool

from bot.errors import LedgerError, LedgerInUseError, UsageError
from bot.ledger.engines import address_of, file_of, in_a_sentence, lock_key, postgres_engine, sqlite_engine
from bot.ledger.tables import REVISION, metadata, version

_LOCK_TRIES: Final = 6


@dataclass(frozen=True, slots=True)
class Ledger:
    """An open ledger. Reads see one moment; writes are one transaction, whole or not at all."""

    engine: Engine
    name: str
    _lock: IO[str] | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees the ledger as it was at one moment.

        Raises LedgerError, as `writing` does.
        """
        with in_a_sentence(self.name), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, committed at the end of the block and rolled back where it raises.

        Raises LedgerUnavailableError where trying again may help (disk full, connection lost), else LedgerError.
        """
        with in_a_sentence(self.name), self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Let go of the connection and the lock."""
        self.engine.dispose()
        if self._lock is not None:
            self._lock.close()


def open_writer(url: str) -> Ledger:
    """The ledger at `url`, made or migrated where needed, for the one process that may write to it.

    Raises UsageError where the URL is none, LedgerInUseError where another daemon has it, and LedgerError where it
    is read-only, corrupt, not a ledger, or from a newer version.
    """
    address = address_of(url)
    name = address.render_as_string()
    file = file_of(address)
    lock = None if file is None else _locked(file)
    engine = (
        sqlite_engine(file.as_uri() if file else "")
        if address.get_backend_name() == "sqlite"
        else postgres_engine(address)
    )
    ledger = Ledger(engine, name, lock)
    try:
        _prepare(ledger, file)
    except BaseException:
        ledger.close()
        raise
    return ledger


def open_reader(url: str) -> Ledger:
    """The ledger at `url` for looking only; a daemon may write to it meanwhile.

    Raises UsageError where the URL is none, LedgerError where there is no ledger of this version that can be read.
    """
    address = address_of(url)
    name = address.render_as_string()
    if address.get_backend_name() == "sqlite":
        file = file_of(address)
        if file is None or not file.exists():
            raise LedgerError(f"there is no ledger at {name}: `hourhand run` makes one")
        # Where the folder is read-only, SQLite cannot make its shared-memory file; nobody can write there either.
        frozen = not os.access(file.parent, os.W_OK) and not file.with_name(file.name + "-wal").exists()
        engine = sqlite_engine(f"{file.as_uri()}?mode=ro" + ("&immutable=1" if frozen else ""))
    else:
        engine = create_engine(address, poolclass=NullPool).execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
    ledger = Ledger(engine, name)
    try:
        with ledger.reading() as connection:
            found = _version(connection, name)
        if found != REVISION:
            raise LedgerError(f"the ledger {name} is empty or of an older version: `hourhand run` brings it up to date")
    except BaseException:
        ledger.close()
        raise
    return ledger


def is_in_use(url: str) -> bool:
    """Whether a daemon holds the ledger's lock now."""
    address = address_of(url)
    file = file_of(address)
    if address.get_backend_name() == "sqlite":
        if file is None or not _lock_file(file).exists():
            return False
        with _lock_file(file).open() as handle:
            return not _try_lock(handle, fcntl.LOCK_SH)
    engine = create_engine(address, poolclass=NullPool)
    with in_a_sentence(address.render_as_string()), engine.connect() as connection:
        key = lock_key(connection.execute(text("SELECT current_database()")).scalar_one())
        held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = :key")
        return bool(connection.execute(held, {"key": key}).scalar_one())


def backup(url: str, target: Path) -> None:
    """A consistent copy of an SQLite ledger in `target`, while a daemon may write to it.

    Raises UsageError where `target` is there already or the ledger is not a file, LedgerError where it cannot be read
    or written.
    """
    file = file_of(address_of(url))
    if file is None:
        raise UsageError("backup copies SQLite ledgers; use pg_dump for PostgreSQL")
    if target.exists():
        raise UsageError(f"{target} is there already: choose another name, a backup overwrites nothing")
    open_reader(url).close()
    _copy(file, target)


def _copy(file: Path, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
        source = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
        copy = sqlite3.connect(part)
        try:
            source.backup(copy)
        finally:
            copy.close()
            source.close()
        part.replace(target)
    except (sqlite3.Error, OSError) as error:
        part.unlink(missing_ok=True)
        raise LedgerError(f"the backup {target} could not be written: {error}") from error


def _lock_file(file: Path) -> Path:
    return file.with_name(file.name + ".lock")


def _try_lock(handle: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked(file: Path) -> IO[str]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Root may write to anything; a file without any write permission was made so on purpose.
        if file.exists() and not (file.stat().st_mode & 0o222 and os.access(file, os.W_OK)):
            raise LedgerError(f"the ledger {file} is read-only: give it write permission, or use another ledger.url")
        handle = _lock_file(file).open("w")
    except OSError as error:
        raise LedgerError(f"the ledger {file} cannot be written: {error}") from error
    for _ in range(_LOCK_TRIES):
        if _try_lock(handle, fcntl.LOCK_EX):
            return handle
        time.sleep(0.05)  # `is_in_use` holds it for a moment, a daemon for good
    handle.close()
    raise LedgerInUseError(f"the ledger {file} is in use by another daemon: stop that one, or use another ledger.url")


def _prepare(ledger: Ledger, file: Path | None) -> None:
    with ledger.writing() as connection:
        if ledger.engine.dialect.name == "sqlite":
            problem = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
            if problem != "ok":
                raise LedgerError(f"the ledger {ledger.name} is corrupt ({problem}): restore a backup")
        found = _version(connection, ledger.name)
        if found is None:
            metadata.create_all(connection)
            version.create(connection)
            connection.execute(insert(version).values(version_num=REVISION))
    if found not in (None, REVISION):
        from bot.ledger.migrate import migrate  # noqa: PLC0415 - Alembic takes 0.3 s to load and is rarely needed

        if file is not None:
            _copy(file, file.with_name(f"{file.name}.before-{REVISION}"))
        with ledger.writing() as connection:
            migrate(connection)


def _version(connection: Connection, name: str) -> str | None:
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if version.name not in tables or "decisions" not in tables:
        raise LedgerError(f"the database {name} is not a ledger of hourhand: use another ledger.url")
    found = connection.execute(select(func.max(version.c.version_num))).scalar_one()
    if not isinstance(found, str) or found > REVISION:
        raise LedgerError(
            f"the ledger {name} is from a newer version of hourhand (schema {found}; this one knows {REVISION}): "
            "update hourhand"
        )
    return found
