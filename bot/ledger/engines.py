"""Databases: their URLs and engines."""

import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from bot.errors import LedgerInUseError, UsageError
from bot.extras import missing_extra

_BUSY_MS: Final = 2_000  # that a statement waits for somebody else's lock
_CONNECT_SECONDS: Final = 10
# Of a connection whose other end has gone without a word: half a minute; Linux's defaults take a quarter of an hour.
_ALIVE: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 30_000}
_NOT_A_URL: Final = "ledger.url is not a database URL: write sqlite:///PATH or postgresql://USER@HOST/DATABASE"


def parse_url(url: str) -> URL:
    """The URL, parsed. Raises UsageError where it is not one of SQLite or PostgreSQL."""
    try:
        address = make_url(url)
        if address.drivername in ("postgresql", "postgres"):
            address = address.set(drivername="postgresql+psycopg")
        if address.get_backend_name() not in ("sqlite", "postgresql"):
            raise UsageError(_NOT_A_URL)
        if address.get_backend_name() == "sqlite" and "?" in url:
            raise UsageError("ledger.url: an SQLite address takes no options; write %3F for a ? in the file's name")
        address.get_dialect().import_dbapi()
    except ImportError as error:
        raise missing_extra("ledger.url", "postgres") from error
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UsageError(_NOT_A_URL) from error
    return address


def display_name(address: URL) -> str:
    """The address without a password, wherever one may be in it."""
    shown = {key: value for key, value in address.query.items() if key in ("host", "port")}
    return address.set(query=shown).render_as_string()


def sqlite_file(address: URL) -> Path | None:
    """The file of an SQLite ledger, None for one in memory or in PostgreSQL."""
    if address.get_backend_name() != "sqlite" or address.database in (None, "", ":memory:"):
        return None
    return Path(str(address.database)).absolute()


def sqlite_engine(uri: str, check_file: Callable[[], object] = lambda: None) -> Engine:
    """An engine with one connection at most. `uri` is `file:///PATH?mode=rw`, `?mode=ro`, or empty for a database in
    memory; `check_file` is called before each connection, and raises where none may be made.
    """

    def connect() -> sqlite3.Connection:
        check_file()
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


def bounded_engine(address: URL, **options: Any) -> Engine:
    """An engine for PostgreSQL that waits neither for a server that does not answer nor for a lock for long, unless the
    address itself says how long. `options` are `create_engine`'s.
    """
    waits = {"connect_timeout": _CONNECT_SECONDS, **_ALIVE}
    given = {name: value for name, value in waits.items() if name not in address.query}
    engine = create_engine(address, connect_args=given, **options)

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.execute(f"SET lock_timeout = {_BUSY_MS}")
        connection.commit()

    return engine


def postgres_engine(address: URL) -> Engine:
    """A writer's engine: one connection at most, which holds the advisory lock."""
    engine = bounded_engine(address, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_pre_ping=True)

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
