"""Open a ledger: one writer behind a lock, readers that cannot write."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, func, insert, inspect, select, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from bot.errors import LedgerError
from bot.ledger.copying import copy_database
from bot.ledger.engines import (
    bounded_engine,
    display_name,
    lock_key,
    parse_url,
    postgres_engine,
    sqlite_engine,
    sqlite_file,
)
from bot.ledger.failures import translated_errors
from bot.ledger.file_lock import FileUse, file_error, is_locked
from bot.ledger.older import ADDED_SINCE, show_as_current
from bot.ledger.tables import REVISION, ledger_info, metadata, version


@dataclass(frozen=True, slots=True)
class Ledger:
    """An open ledger. Reads see one moment; writes are one transaction, whole or not at all."""

    engine: Engine
    name: str
    _file: FileUse | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees the ledger as it was at one moment.

        Raises LedgerError, as `writing` does.
        """
        with translated_errors(self.name), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, committed at the end of the block and rolled back where it raises.

        Raises LedgerUnavailableError where trying again may help (disk full, connection lost), else LedgerError.
        """
        with translated_errors(self.name), self.engine.begin() as connection:
            yield connection

    def check_file(self) -> None:
        """Raises LedgerGoneError where the ledger's file is no longer at its path, LedgerReplacedError where another
        one is. In PostgreSQL there is nothing to check.
        """
        if self._file is not None:
            self._file.check()

    def close(self) -> None:
        """Close the connections and release the lock."""
        self.engine.dispose()
        if self._file is not None:
            self._file.release()


def open_writer(url: str) -> Ledger:
    """The ledger at `url` for its one writer, created or migrated where needed.

    Raises UsageError for a bad URL, LedgerInUseError where another writer has the ledger, LedgerUnavailableError where
    trying again may help, and LedgerError where it is read-only, corrupt, not a ledger, or from a newer version.
    """
    address = parse_url(url)
    if address.get_backend_name() != "sqlite":
        return _prepared(Ledger(postgres_engine(address), display_name(address)), None)
    file = sqlite_file(address)
    return _prepared(Ledger(sqlite_engine(""), "in memory"), None) if file is None else open_file(file)


def open_file(file: Path) -> Ledger:
    """The SQLite ledger in `file` for its one writer. Raises what `open_writer` does."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(file, error) from error
    _require_writable_file(file)
    use = FileUse(file, exclusive=True)
    return _prepared(Ledger(sqlite_engine(f"{file.as_uri()}?mode=rw", use.check), f"sqlite:///{file}", use), file)


def require_writable(url: str) -> None:
    """Raises LedgerError where no writer could open or make the ledger's file; changes nothing."""
    file = sqlite_file(parse_url(url))
    if file is None:
        return
    _require_writable_file(file)
    try:
        folder = next(folder for folder in file.parents if folder.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise LedgerError(f"the ledger {file} cannot be created: {folder} is not a writable folder")
    except OSError as error:
        raise file_error(file, error) from error


def _require_writable_file(file: Path) -> None:
    try:
        # Root may write to anything; a file without any write permission was made so on purpose.
        if file.exists() and not (file.stat().st_mode & 0o222 and os.access(file, os.W_OK)):
            raise LedgerError(f"the ledger {file} is read-only: give it write permission, or use another ledger.url")
    except OSError as error:
        raise file_error(file, error) from error


def open_reader(url: str) -> Ledger:
    """The ledger at `url` for reading only; a daemon may write to it meanwhile.

    Raises UsageError for a bad URL, LedgerError where there is no ledger of this version that can be read.
    """
    address = parse_url(url)
    ledger = _reader(address)
    try:
        with ledger.reading() as connection:
            found = read_version(connection, ledger.name)
        if found in ADDED_SINCE and ledger.engine.dialect.name == "sqlite":
            show_as_current(ledger.engine, found)
        elif found != REVISION:
            raise LedgerError(
                f"the ledger {ledger.name} is empty or of an older version: `hourhand run` brings it up to date"
            )
    except BaseException:
        ledger.close()
        raise
    return ledger


@contextmanager
def reading_from(url: str) -> Iterator[Connection]:
    """A connection to the ledger at `url`, closed after the block. Raises what `open_reader` and `reading` do."""
    ledger = open_reader(url)
    try:
        with ledger.reading() as connection:
            yield connection
    finally:
        ledger.close()


def is_in_use(url: str) -> bool:
    """Whether a daemon holds the ledger's lock now."""
    address = parse_url(url)
    if address.get_backend_name() == "sqlite":
        file = sqlite_file(address)
        return file is not None and is_locked(file)
    engine = bounded_engine(address, poolclass=NullPool)
    with translated_errors(display_name(address)), engine.connect() as connection:
        key = lock_key(connection.execute(text("SELECT current_database()")).scalar_one())
        held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = :key")
        return bool(connection.execute(held, {"key": key}).scalar_one())


def read_version(connection: Connection, name: str) -> str | None:
    """The schema's revision, None for an empty database. Raises LedgerError where it is no ledger, or a newer one."""
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


def check_pages(connection: Connection, name: str) -> None:
    """Raises LedgerError where SQLite's own check finds a damaged file."""
    problem = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
    if problem != "ok":
        raise LedgerError(f"the ledger {name} is corrupt ({problem}): restore a backup")


def _reader(address: URL) -> Ledger:
    name = display_name(address)
    if address.get_backend_name() != "sqlite":
        engine = bounded_engine(address, poolclass=NullPool)
        return Ledger(engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True), name)
    file = sqlite_file(address)
    if file is None or not file.exists():
        raise LedgerError(f"there is no ledger at {name}: `hourhand run` creates one")
    # Where the folder is read-only, SQLite cannot make its shared-memory file; nobody can write there either.
    frozen = not os.access(file.parent, os.W_OK) and not file.with_name(file.name + "-wal").exists()
    engine = sqlite_engine(f"{file.as_uri()}?mode=ro" + ("&immutable=1" if frozen else ""))
    return Ledger(engine, name, FileUse(file, exclusive=False))


def _prepared(ledger: Ledger, file: Path | None) -> Ledger:
    try:
        _prepare(ledger, file)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _prepare(ledger: Ledger, file: Path | None) -> None:
    with ledger.writing() as connection:
        if ledger.engine.dialect.name == "sqlite":
            check_pages(connection, ledger.name)
        found = read_version(connection, ledger.name)
        if found is None:
            metadata.create_all(connection)
            version.create(connection)
            connection.execute(insert(version).values(version_num=REVISION))
            connection.execute(insert(ledger_info).values(id=1, practice=None))
    if found not in (None, REVISION):
        from bot.ledger.migrate import migrate  # noqa: PLC0415 - Alembic takes 0.3 s to load and is rarely needed

        if file is not None:
            copy_database(file, file.with_name(f"{file.name}.before-{REVISION}"))
        with ledger.writing() as connection:
            migrate(connection)
