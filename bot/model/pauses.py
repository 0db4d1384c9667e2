"""Which accounts are paused: a small file beside the registry's pointer, replaced whole, as the pointer is.

Whoever asks for a pause writes the file; the daemon alone writes into the ledger what came of it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from bot.errors import UsageError
from bot.model import files
from bot.model.pointers import locked, write_whole

_MAX_BYTES: Final = 2**20


class Pauses(msgspec.Struct, frozen=True):
    """The paused accounts, each with the time of the request in Unix seconds."""

    accounts: dict[str, float] = {}


def pause_file(pointer: Path) -> Path:
    """The file that belongs to a pointer, or to a model's folder: `current.paused` beside `current`."""
    return pointer.with_name(f"{pointer.name}.paused")


def read_paused(pointer: Path) -> dict[str, float]:
    """The paused accounts and since when. Raises UsageError where the file is something else."""
    path = pause_file(pointer)
    try:
        return msgspec.json.decode(files.read_bounded(path, _MAX_BYTES), type=Pauses).accounts
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise UsageError(
            f"{path} does not say which accounts are paused: {error}; remove it, or pause again"
        ) from error


def pause(pointer: Path, accounts: Iterable[str], now: float) -> dict[str, float]:
    """Ask for the accounts to be paused; who is paused then. A pause that is asked for twice is as old as the first.

    Raises ModelError where the file cannot be written, UsageError where it cannot be read.
    """
    with locked(pointer):
        paused = dict.fromkeys(accounts, now) | read_paused(pointer)
        write_whole(pause_file(pointer), msgspec.json.encode(Pauses(paused)))
    return paused


def resume(pointer: Path, accounts: Iterable[str]) -> dict[str, float]:
    """Ask for the accounts to be traded again; who is still paused then. Raises as `pause` does."""
    with locked(pointer):
        ended = set(accounts)
        paused = {account: since for account, since in read_paused(pointer).items() if account not in ended}
        write_whole(pause_file(pointer), msgspec.json.encode(Pauses(paused)))
    return paused
