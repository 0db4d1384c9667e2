"""Database and file errors as one sentence, sorted into those that may pass and those that need a person.

Sorted by code only: SQLite's result codes, PostgreSQL's SQLSTATE, and errno.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import exc
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bot.errors import LedgerError, LedgerUnavailableError

_SQLITE_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
    }
)
_SQLITE_FINAL: Final = frozenset(
    {sqlite3.SQLITE_CANTOPEN_ISDIR, sqlite3.SQLITE_IOERR_CORRUPTFS, sqlite3.SQLITE_IOERR_AUTH}
)
# Connection, rollback by the server, resources, operator intervention, I/O; a lock; a server that became a standby.
_SQLSTATE_PASSING: Final = ("08", "40", "53", "57", "58", "55P03", "25006")
_ERRNO_FINAL: Final = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EINVAL,
    }
)


def may_pass(error: BaseException | None) -> bool:
    """Whether waiting may mend what a driver, SQLAlchemy or the file system reported."""
    if isinstance(error, DBAPIError):
        return may_pass(error.orig) if isinstance(error.orig, sqlite3.Error) else _postgres_may_pass(error)
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        passing = code & 0xFF in _SQLITE_PASSING and code not in _SQLITE_FINAL
        return passing or code == sqlite3.SQLITE_READONLY_DBMOVED
    if isinstance(error, OSError):
        return error.errno not in _ERRNO_FINAL
    return isinstance(error, exc.TimeoutError)


def _postgres_may_pass(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # libpq hands on no SQLSTATE where no connection comes about
        return error.connection_invalidated or isinstance(error, exc.OperationalError)
    return error.connection_invalidated or str(state).startswith(_SQLSTATE_PASSING)


def ledger_error(name: str, error: Exception) -> LedgerError:
    """The error as LedgerUnavailableError where it may pass, else LedgerError."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = (error.strerror or "" if isinstance(error, OSError) else str(cause)).strip().splitlines()
    reason = lines[0] if lines else type(cause).__name__
    if may_pass(error):
        return LedgerUnavailableError(f"the ledger {name} cannot be used now: {reason}")
    if _is_read_only(cause):
        return LedgerError(f"the ledger {name} is read-only: {reason}")
    return LedgerError(f"the ledger {name} cannot be used: {reason}")


@contextmanager
def translated_errors(name: str) -> Iterator[None]:
    """Raise the block's database and file errors as LedgerError, or LedgerUnavailableError where they may pass."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise ledger_error(name, error) from error


def _is_read_only(cause: BaseException | None) -> bool:
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY
    return isinstance(cause, OSError) and cause.errno == errno.EROFS
