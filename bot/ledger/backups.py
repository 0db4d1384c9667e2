"""Back a ledger up, and put a backup in its place."""

import os
import shutil
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import select

from bot.errors import LedgerError, UsageError
from bot.ledger import reading, tables
from bot.ledger.copying import copy_database
from bot.ledger.engines import parse_url, sqlite_engine, sqlite_file
from bot.ledger.failures import translated_errors
from bot.ledger.file_lock import FileUse
from bot.ledger.practice import read_practice
from bot.ledger.proof import verify
from bot.ledger.store import Ledger, check_pages, open_file, open_reader, read_version


def backup(url: str, target: Path) -> None:
    """A consistent copy of an SQLite ledger in `target`, while a daemon may write to it.

    Raises UsageError where `target` exists or the ledger is not a file, LedgerError where it cannot be read or
    written.
    """
    file = sqlite_file(parse_url(url))
    if file is None:
        raise UsageError("backup copies only SQLite ledgers; use pg_dump for PostgreSQL")
    if target.exists():
        raise UsageError(f"{target} exists: choose another name; a backup never overwrites a file")
    open_reader(url).close()
    copy_database(file, target)


def restore(backup_file: Path, url: str) -> Path | None:
    """Put a backup in the place of the ledger at `url`. Returns where the ledger of before is kept, None where there
    was none.

    Raises LedgerInUseError while a daemon has the ledger, LedgerError where the backup is not sound or does not verify
    (nothing is changed then), and UsageError between practice and reality or where the ledger is not a file.
    """
    target = sqlite_file(parse_url(url))
    if target is None:
        raise UsageError("restore replaces only SQLite ledgers; use pg_restore for PostgreSQL")
    backup_file = backup_file.absolute()
    if not backup_file.is_file():
        raise LedgerError(f"there is no backup {backup_file}: name a file that `hourhand backup` made")
    if target.exists() and backup_file.samefile(target):
        raise UsageError(f"{backup_file} is the ledger itself: name a backup")
    with ExitStack() as stack, translated_errors(f"sqlite:///{target}"):
        target = target.resolve()  # a link may lead to another file system, where the copy has to be made
        part = target.with_name(target.name + ".restoring")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            stack.callback(FileUse(target, exclusive=True).release)
        stack.callback(_remove, part)
        _remove(part)
        marks = _copy_checked(backup_file, part), _mark(target)
        if None not in marks and marks[0] != marks[1]:
            kinds = ["practice" if mark else "real" for mark in marks]
            raise UsageError(f"a {kinds[0]} backup cannot replace a {kinds[1]} ledger: set another ledger.url")
        return _exchange(part, target)


def continues(ledger: Ledger, url: str) -> bool:
    """Whether the file that is now at `url` can take the place of this open ledger: it is sound, and the newest
    decision of each of its accounts is one of this ledger's own. Takes the write-ahead log of this ledger, which
    would be replayed onto the file, from its side.
    """
    file = sqlite_file(parse_url(url))
    if file is None:
        return False
    _remove_own_log(file)
    try:
        _check(file, str(file))
        other = open_reader(url)
    except LedgerError:
        return False
    try:
        with other.reading() as connection:
            names = connection.execute(select(tables.accounts.c.account)).scalars().all()
            ends = [reading.newest_link(connection, name) for name in names]
    finally:
        other.close()
    with ledger.reading() as connection:
        return bool(ends) and all(link is not None and reading.holds(connection, link) for link in ends)


def _remove_own_log(file: Path) -> None:
    """Remove the file's `-wal` and `-shm` where they are those of a connection of this process."""
    opened = set()
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        with suppress(OSError):
            found = os.fstat(int(descriptor))
            opened.add((found.st_dev, found.st_ino))
    for end in ("-wal", "-shm"):
        path = file.with_name(file.name + end)
        with suppress(OSError):
            found = path.stat()
            if (found.st_dev, found.st_ino) in opened:
                path.unlink()


def _check(file: Path, name: str) -> None:
    """Raises LedgerError where the file is damaged or not a ledger."""
    ledger = Ledger(sqlite_engine(f"{file.as_uri()}?mode=ro"), name, FileUse(file, exclusive=False))
    try:
        with ledger.reading() as connection:
            check_pages(connection, name)
            if read_version(connection, name) is None:
                raise LedgerError(f"the database {name} is empty, and not a ledger")
    finally:
        ledger.close()


def _mark(target: Path) -> bool | None:
    """The practice mark of a ledger, None where there is none to read."""
    try:
        ledger = open_reader(f"sqlite:///{quote(str(target))}")
    except LedgerError:
        return None
    try:
        with ledger.reading() as connection:
            return read_practice(connection)
    finally:
        ledger.close()


def _copy_checked(backup_file: Path, part: Path) -> bool | None:
    """Make a copy of the backup in one file of its own, brought up to date and verified. Returns its practice mark."""
    for end in ("", "-wal"):
        if Path(f"{backup_file}{end}").exists():
            shutil.copyfile(f"{backup_file}{end}", f"{part}{end}")
    _check(part, str(backup_file))
    ledger = open_file(part)
    try:
        with ledger.reading() as connection:
            differences, mark = verify(connection).differences, read_practice(connection)
    finally:
        ledger.close()  # the last connection: SQLite empties and removes the write-ahead log
    if differences:
        raise LedgerError(f"the backup {backup_file} does not verify, nothing was changed: {differences[0]}")
    return mark


def _exchange(part: Path, target: Path) -> Path | None:
    """Put `part` at `target`. The ledger of before is whole under its new name before anything at its path changes."""
    kept = None
    wal, shm = target.with_name(target.name + "-wal"), target.with_name(target.name + "-shm")
    if target.exists():
        kept = target.with_name(f"{target.name}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        os.link(target, kept)
        if wal.exists() and wal.stat().st_size:
            shutil.copy2(wal, kept.with_name(kept.name + "-wal"))
    _sync(part)
    # A write-ahead log that is left behind would be replayed onto the copy.
    wal.unlink(missing_ok=True)
    shm.unlink(missing_ok=True)
    part.replace(target)
    _sync(target.parent)
    return kept


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(part: Path) -> None:
    for path in (part, *(part.with_name(f"{part.name}{end}") for end in ("-wal", "-shm", ".part"))):
        path.unlink(missing_ok=True)
    for path in part.parent.glob(f"{part.name}.before-*"):
        path.unlink()
