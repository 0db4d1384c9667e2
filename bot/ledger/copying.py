"""Consistent copies of an SQLite file."""

import sqlite3
from pathlib import Path

from bot.errors import LedgerError, LedgerUnavailableError
from bot.ledger.failures import may_pass


def copy_database(file: Path, target: Path) -> None:
    """Copy the database with its write-ahead log into `target`, whole or not at all, while others may write to it.

    Raises LedgerError, or LedgerUnavailableError where trying again may help.
    """
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
        kind = LedgerUnavailableError if may_pass(error) else LedgerError
        raise kind(f"the backup {target} could not be written: {error}") from error
