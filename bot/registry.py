"""Where models live: a folder of models, each under its model_id, and the pointer that says which one is current.

The pointer (`policy.model`, by default `models/current`) is a small JSON file. All that changes is in it, so that one
rename is a promotion, whole or not at all.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from bot import checkpoint
from bot.account import Terms
from bot.candles import Candle
from bot.checkpoint import Model
from bot.errors import ModelError, UsageError
from bot.trader import Trader

_HISTORY: Final = 1000


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


def resolve(pointer: Path) -> Path:
    """The folder of the model that `policy.model` means: itself, or the one beside a pointer that it names.

    Raises ModelError where it is neither.
    """
    return pointer if pointer.is_dir() else folder_of(pointer, read_pointer(pointer).model_id)


def read_pointer(pointer: Path) -> Pointer:
    """What the pointer says. Raises ModelError where there is none or it is something else."""
    try:
        told = msgspec.json.decode(pointer.read_bytes(), type=Pointer)
    except FileNotFoundError as error:
        raise ModelError(f"policy.model: there is neither a model nor a pointer to one at {pointer}") from error
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"policy.model: {pointer} is no model's folder and no pointer: {error}") from error
    return told


def model_ids(pointer: Path) -> list[str]:
    """The models that the registry holds, usable or not."""
    folder = pointer.parent
    if not folder.is_dir():
        return []
    whole = (entry for entry in folder.iterdir() if not entry.name.startswith("."))  # a copy under way has a dot
    return sorted(entry.name for entry in whole if (entry / checkpoint.MANIFEST).is_file())


def publish(pointer: Path, source: Path, recent: Sequence[Candle] = ()) -> Model:
    """Check the model in `source`, also by letting it decide `recent` candles, and copy it into the registry, whole or
    not at all; it is not current by that.

    Raises ModelError where it cannot be used.
    """
    model = checkpoint.load(source)
    trader = Trader(Terms("dry run", "no:market:1h"), model)
    state = trader.start()
    for candle in recent:
        state = trader.step(state, candle).state
    with _locked(pointer):
        try:
            checkpoint.save(model, folder_of(pointer, model.model_id))
        except OSError as error:
            raise ModelError(f"the model could not be copied to {pointer.parent}: {error}") from error
    return model


def promote(pointer: Path, model_id: str, now: float) -> Pointer:
    """Make a model of the registry current. Raises ModelError where it is not there or cannot be used."""

    def promoted(told: Pointer | None) -> Pointer:
        if told is None:
            return Pointer(model_id, now)
        if told.model_id == model_id:
            return told
        before = (*told.before, Promotion(told.model_id, told.since))[-_HISTORY:]
        return Pointer(model_id, now, before, told.shadows)

    checkpoint.load(folder_of(pointer, model_id))
    return _change(pointer, promoted)


def rollback(pointer: Path, now: float) -> Pointer:
    """Make the model before the current one current. Raises ModelError where there was none or it cannot be used."""

    def rolled_back(told: Pointer | None) -> Pointer:
        if told is None or not told.before:
            raise ModelError(f"{pointer} has no model before the current one")
        last = told.before[-1].model_id
        checkpoint.load(folder_of(pointer, last))
        return Pointer(last, now, told.before[:-1], told.shadows)

    return _change(pointer, rolled_back)


def shadow(pointer: Path, model_id: str, *, on: bool) -> Pointer:
    """Let a model run beside the current one on an account of its own, or end that. Raises ModelError as `promote`."""
    if on:
        checkpoint.load(folder_of(pointer, model_id))

    def shadowed(told: Pointer | None) -> Pointer:
        if told is None:
            raise ModelError(f"{pointer} has no current model to run beside")
        others = tuple(other for other in told.shadows if other != model_id)
        return msgspec.structs.replace(told, shadows=(*others, model_id) if on else others)

    return _change(pointer, shadowed)


def signature(pointer: Path) -> tuple[int, ...] | None:
    """Changes whenever the pointer, or what a link there leads to, is replaced; None while there is nothing."""
    try:
        stat = (pointer if pointer.is_file() else pointer / checkpoint.MANIFEST).stat()
    except OSError:
        return None
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def folder_of(pointer: Path, model_id: str) -> Path:
    """Where the registry keeps that model. Raises ModelError where the id is none."""
    if not model_id or Path(model_id).name != model_id:
        raise ModelError(f"{model_id!r} is not the name of a model")
    return pointer.parent / model_id


def _change(pointer: Path, change: Callable[[Pointer | None], Pointer]) -> Pointer:
    if pointer.is_dir() and not pointer.is_symlink():
        raise UsageError(f"policy.model: {pointer} is a model's folder; a registry needs a pointer, as models/current")
    with _locked(pointer):
        changed = change(read_pointer(pointer) if pointer.is_file() else None)
        _write(pointer, msgspec.json.format(msgspec.json.encode(changed), indent=2) + b"\n")
    return changed


@contextmanager
def _locked(pointer: Path) -> Iterator[None]:
    try:
        pointer.parent.mkdir(parents=True, exist_ok=True)
        handle = (pointer.parent / f".{pointer.name}.lock").open("w")
    except OSError as error:
        raise ModelError(f"the registry {pointer.parent} cannot be written: {error}") from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _write(pointer: Path, content: bytes) -> None:
    temporary = pointer.with_name(f".{pointer.name}.new")  # what a kill leaves is overwritten by the next
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(pointer)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ModelError(f"the pointer {pointer} could not be written: {error}; the one before stays") from error
