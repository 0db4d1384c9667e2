"""The lock of an SQLite ledger: flock on the database file itself, so it belongs to the inode and not to a path.

SQLite locks with fcntl, which flock neither sees nor disturbs on a local disk. But closing any descriptor of a file
drops all fcntl locks that the process holds on it: so a descriptor stays open until this process has no connection to
the file.
"""

import fcntl
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Final

from bot.errors import LedgerError, LedgerGoneError, LedgerInUseError, LedgerReplacedError, LedgerUnavailableError
from bot.ledger.failures import may_pass

_TRIES: Final = 6

Identity = tuple[int, int]


@dataclass
class _OpenFile:
    users: int = 0
    locked: bool = False
    descriptor: int | None = None


_open_files: Final[dict[Identity, _OpenFile]] = {}  # of this process, as fcntl locks are
_guard: Final = RLock()


class FileUse:
    """One use of a ledger's file by this process, with the writer's lock or without."""

    def __init__(self, file: Path, *, exclusive: bool) -> None:
        """Raises LedgerInUseError where another writer has the lock, LedgerError where the file cannot be opened."""
        self.file, self.exclusive = file, exclusive
        self._released = False
        try:
            self.identity = _acquire(file) if exclusive else _identity(file.stat())
        except OSError as error:
            raise file_error(file, error) from error
        with _guard:
            opened = _open_files.setdefault(self.identity, _OpenFile())
            opened.users += 1
            opened.locked |= exclusive

    def check(self) -> None:
        """Raises LedgerGoneError where no file is at the path any more, LedgerReplacedError where it is another one."""
        try:
            found = _identity(self.file.stat())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise LedgerGoneError(f"the ledger {self.file} is gone: put it back, or stop the daemon") from error
        except OSError as error:
            raise file_error(self.file, error) from error
        if found != self.identity:
            raise LedgerReplacedError(
                f"another file is at {self.file} since this daemon opened its ledger: stop the daemon and use "
                "`hourhand restore`"
            )

    def release(self) -> None:
        """Give the lock up, once. Call it after the connections are closed."""
        with _guard:
            if self._released:
                return
            self._released = True
            opened = _open_files[self.identity]
            opened.users -= 1
            if self.exclusive and opened.descriptor is not None:
                opened.locked = False
                fcntl.flock(opened.descriptor, fcntl.LOCK_UN)
            if opened.users == 0:
                del _open_files[self.identity]
                if opened.descriptor is not None:
                    os.close(opened.descriptor)


def is_locked(file: Path) -> bool:
    """Whether a writer, of this process or another, has the file."""
    with _guard:
        try:
            if _is_locked_here(file):
                return True
            descriptor = _descriptor(file, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise file_error(file, error) from error
        try:
            return not _try_lock(descriptor, fcntl.LOCK_SH)
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            _close_when_unused(descriptor)


def file_error(file: Path, error: OSError) -> LedgerError:
    """What went wrong with a ledger's file: LedgerUnavailableError where it may pass."""
    kind = LedgerUnavailableError if may_pass(error) else LedgerError
    return kind(f"the ledger {file} cannot be opened: {error.strerror}")


def _acquire(file: Path) -> Identity:
    with _guard:
        for _ in range(_TRIES):
            if _is_locked_here(file):
                break
            descriptor = _descriptor(file, os.O_RDWR | os.O_CREAT)
            identity = _identity(os.fstat(descriptor))
            free = _try_lock(descriptor, fcntl.LOCK_EX)
            if free and _is_at(file, identity):
                _open_files.setdefault(identity, _OpenFile()).descriptor = descriptor
                return identity
            if free:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            _close_when_unused(descriptor)
            time.sleep(0.05)  # `is_locked` holds it for a moment, a daemon for good
    raise LedgerInUseError(f"the ledger {file} is in use by another daemon: stop that one, or use another ledger.url")


def _find(file: Path) -> _OpenFile | None:
    with suppress(FileNotFoundError):
        return _open_files.get(_identity(file.stat()))
    return None


def _is_locked_here(file: Path) -> bool:
    known = _find(file)
    return known is not None and known.locked


def _descriptor(file: Path, flags: int) -> int:
    known = _find(file)
    if known is not None and known.descriptor is not None:
        return known.descriptor
    return os.open(file, flags | os.O_CLOEXEC, 0o666)


def _is_at(file: Path, identity: Identity) -> bool:
    with suppress(FileNotFoundError):
        return _identity(file.stat()) == identity
    return False


def _close_when_unused(descriptor: int) -> None:
    known = _open_files.get(_identity(os.fstat(descriptor)))
    if known is None:
        os.close(descriptor)
    else:
        known.descriptor = descriptor


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _identity(found: os.stat_result) -> Identity:
    if not stat.S_ISREG(found.st_mode):
        raise IsADirectoryError(21, "it is not a file")
    return found.st_dev, found.st_ino
