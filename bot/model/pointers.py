"""The pointer of a registry: a small JSON file that says which model is current, and which were before it.

All that a promotion changes is in it, so that one rename is a promotion, whole or not at all.
"""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from bot import whole
from bot.errors import ModelError
from bot.model import files
from bot.model.manifest import Model

_MODEL_ID: Final = re.compile("[0-9a-f]{16}")
_MAX_BYTES: Final = 2**20


class Promotion(msgspec.Struct, frozen=True):
    """A model and since when it is, or was, current, in Unix seconds."""

    model_id: str
    since: float


class Pointer(msgspec.Struct, frozen=True):
    """The pointer's contents: the current model, those before it (oldest first), and those that run beside it on
    accounts of their own.
    """

    model_id: str
    since: float = 0.0
    before: tuple[Promotion, ...] = ()
    shadows: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """What commands and the API show of it: `model_id`, the one `before`, and `shadows`."""
        before = self.before[-1].model_id if self.before else None
        return {"model_id": self.model_id, "before": before, "shadows": list(self.shadows)}


def is_model_id(name: str) -> bool:
    """Whether the name is a model_id: 16 hex digits."""
    return _MODEL_ID.fullmatch(name) is not None


def read_pointer(path: Path) -> Pointer:
    """What the pointer says. Raises ModelError where there is none or it is something else."""
    try:
        return msgspec.json.decode(files.read_bounded(path, _MAX_BYTES), type=Pointer)
    except FileNotFoundError as error:
        raise ModelError(f"policy.model: there is neither a model nor a pointer to one at {path}") from error
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise ModelError(f"policy.model: {path} is neither a model's folder nor a pointer: {error}") from error


def write(path: Path, pointer: Pointer) -> None:
    """Replace the pointer, whole or not at all. Raises ModelError where it cannot be written."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(pointer), indent=2))


def write_whole(path: Path, content: bytes) -> None:
    """Replace a small file of the registry, whole or not at all. Raises ModelError where it cannot be written."""
    try:
        whole.write_whole(path, content + b"\n")
    except OSError as error:
        raise ModelError(f"{path} could not be written: {error}; the previous one stays") from error


def save_published(model: Model, folder: Path) -> None:
    """Write a model to its folder in a registry. Raises ModelError where it cannot be written."""
    try:
        files.save_model(model, folder)
    except OSError as error:
        raise ModelError(f"the model could not be copied to {folder.parent}: {error}") from error


@contextmanager
def locked(pointer: Path) -> Iterator[None]:
    """One process at a time changes a registry. Raises ModelError where the folder cannot be written."""
    try:
        pointer.parent.mkdir(parents=True, exist_ok=True)
        handle = (pointer.parent / f".{pointer.name}.lock").open("w")
    except OSError as error:
        raise ModelError(f"the registry {pointer.parent} cannot be written: {error}") from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
