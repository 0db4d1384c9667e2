"""Databases: their URLs, their engines, and their errors as one sentence."""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from bot.errors import LedgerError, LedgerInUseError, LedgerUnavailableError, UsageError

_BUSY_MS: Final = 2_000
_PASSING: Final = ("disk is full", "disk i/o error", "locked", "unable to open")


def address_of(url: str) -> URL:
    """The URL, parsed. Raises UsageError where it is not one of SQLite or PostgreSQL."""
    try:
        address = make_url(url)
        if address.drivername in ("postgresql", "postgres"):
            address = address.set(drivername="postgresql+psycopg")
        if address.get_backend_name() not in ("sqlite", "postgresql"):
            raise UsageError(f"ledger.url: {address.render_as_string()} is neither sqlite:/// nor postgresql://")
        address.get_dialect().import_dbapi()
    except ImportError as error:
        raise UsageError(
            "ledger.url: PostgreSQL needs the extra `postgres`: pip install 'hourhand[postgres]'"
        ) from error
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UsageError(f"ledger.url: {url!r} is not a database URL: {error}") from error
    return address


def file_of(address: URL) -> Path | None:
    """The file of an SQLite ledger, None for one in memory or in PostgreSQL."""
    if address.get_backend_name() != "sqlite" or address.database in (None, "", ":memory:"):
        return None
    return Path(str(address.database)).absolute()


def sqlite_engine(uri: str) -> Engine:
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


def lock_key(database: str) -> int:
    """The number of the advisory lock that the writer of this PostgreSQL database holds."""
    return zlib.crc32(f"hourhand:{database}".encode())


def postgres_engine(address: URL) -> Engine:
    """A writer's engine: one connection at most, which holds the advisory lock."""
    engine = create_engine(address, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_pre_ping=True)

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        # Held by the session: a connection that was lost and made again has to win the lock again.
        with connection.cursor() as cursor:
            key = lock_key(connection.info.dbname)
            if not cursor.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()[0]:
                raise LedgerInUseError(
                    "the ledger is in use by another daemon: stop that one, or use another ledger.url"
                )
        connection.commit()

    return engine


@contextmanager
def in_a_sentence(name: str) -> Iterator[None]:
    """Turn the database's errors inside the block into LedgerError, or LedgerUnavailableError where they may pass."""
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
