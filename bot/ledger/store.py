"""Opening a ledger: one writer behind a lock, readers that cannot write, and errors as one sentence."""

import fcntl
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from bot.errors import LedgerError, LedgerInUseError, LedgerUnavailableError, UsageError
from bot.ledger.tables import REVISION, metadata, version

_BUSY_MS: Final = 10_000
_PASSING: Final = ("disk is full", "disk i/o error", "locked", "unable to open")


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
        with _in_a_sentence(self.name), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, committed at the end of the block and rolled back where it raises.

        Raises LedgerUnavailableError where trying again may help (disk full, connection lost), else LedgerError.
        """
        with _in_a_sentence(self.name), self.engine.begin() as connection:
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
    address = _address(url)
    name = address.render_as_string()
    file = _file(address)
    lock = None
    if file is not None:
        lock = _locked(file)
    try:
        engine = (
            _sqlite(file.as_uri() if file else "") if address.get_backend_name() == "sqlite" else _postgres(address)
        )
        ledger = Ledger(engine, name, lock)
        _prepare(ledger, file)
    except BaseException:
        if lock is not None:
            lock.close()
        raise
    return ledger


def open_reader(url: str) -> Ledger:
    """The ledger at `url` for looking only; a daemon may write to it meanwhile.

    Raises UsageError where the URL is none, LedgerError where there is no ledger of this version that can be read.
    """
    address = _address(url)
    name = address.render_as_string()
    if address.get_backend_name() == "sqlite":
        file = _file(address)
        if file is None or not file.exists():
            raise LedgerError(f"there is no ledger at {name}: `hourhand run` makes one")
        # Where the folder is read-only, SQLite cannot make its shared-memory file; nobody can write there either.
        frozen = not os.access(file.parent, os.W_OK) and not file.with_name(file.name + "-wal").exists()
        engine = _sqlite(f"{file.as_uri()}?mode=ro" + ("&immutable=1" if frozen else ""))
    else:
        engine = create_engine(address, poolclass=NullPool).execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
    ledger = Ledger(engine, name)
    with ledger.reading() as connection:
        found = _version(connection, name)
    if found != REVISION:
        raise LedgerError(f"the ledger {name} is empty or of an older version: `hourhand run` brings it up to date")
    return ledger


def is_in_use(url: str) -> bool:
    """Whether a daemon holds the ledger's lock now."""
    address = _address(url)
    file = _file(address)
    if address.get_backend_name() == "sqlite":
        if file is None or not _lock_file(file).exists():
            return False
        with _lock_file(file).open() as handle:
            return not _try_lock(handle, fcntl.LOCK_SH)
    engine = create_engine(address, poolclass=NullPool)
    with _in_a_sentence(address.render_as_string()), engine.connect() as connection:
        key = _postgres_key(connection.execute(text("SELECT current_database()")).scalar_one())
        held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = :key")
        return bool(connection.execute(held, {"key": key}).scalar_one())


def backup(url: str, target: Path) -> None:
    """A consistent copy of an SQLite ledger in `target`, while a daemon may write to it.

    Raises UsageError where `target` is there already or the ledger is not a file, LedgerError where it cannot be read
    or written.
    """
    file = _file(_address(url))
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


def _address(url: str) -> URL:
    try:
        address = make_url(url)
        if address.drivername in ("postgresql", "postgres"):
            address = address.set(drivername="postgresql+psycopg")
        if address.get_backend_name() not in ("sqlite", "postgresql"):
            raise UsageError(f"ledger.url: {address.render_as_string()} is neither sqlite:/// nor postgresql://")
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UsageError(f"ledger.url: {url!r} is not a database URL: {error}") from error
    return address


def _file(address: URL) -> Path | None:
    if address.get_backend_name() != "sqlite" or address.database in (None, "", ":memory:"):
        return None
    return Path(str(address.database)).absolute()


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
    if not _try_lock(handle, fcntl.LOCK_EX):
        handle.close()
        raise LedgerInUseError(
            f"the ledger {file} is in use by another daemon: stop that one, or use another ledger.url"
        )
    return handle


def _sqlite(uri: str) -> Engine:
    """An engine with one connection at most. `uri` is `file:///PATH[?mode=ro]`, or empty for a database in memory."""

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            uri or ":memory:", uri=bool(uri), timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False
        )

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0)

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        if "mode=ro" not in uri:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        # A deferred transaction that reads first and then writes fails at once under contention.
        connection.exec_driver_sql("BEGIN" if "mode=ro" in uri else "BEGIN IMMEDIATE")

    return engine


def _postgres_key(database: str) -> int:
    return zlib.crc32(f"hourhand:{database}".encode())


def _postgres(address: URL) -> Engine:
    engine = create_engine(address, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_pre_ping=True)

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        # Held by the session: a connection that was lost and made again has to win the lock again.
        with connection.cursor() as cursor:
            key = _postgres_key(connection.info.dbname)
            if not cursor.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()[0]:
                raise LedgerInUseError(
                    "the ledger is in use by another daemon: stop that one, or use another ledger.url"
                )
        connection.commit()

    return engine


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


@contextmanager
def _in_a_sentence(name: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig and str(error.orig).strip() else str(error)
        if "readonly" in reason or "read-only" in reason:
            raise LedgerError(f"the ledger {name} is read-only: {reason}") from error
        passing = error.connection_invalidated or (
            isinstance(error, OperationalError) and ("sqlite" not in name or any(p in reason for p in _PASSING))
        )
        if passing:
            raise LedgerUnavailableError(f"the ledger {name} cannot be used now: {reason}") from error
        raise LedgerError(f"the ledger {name} cannot be used: {reason}") from error
    except SQLAlchemyError as error:
        raise LedgerError(f"the ledger {name} cannot be used: {error}") from error
