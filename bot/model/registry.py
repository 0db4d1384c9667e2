"""Where models live: a folder of models, each under its model_id, and the pointer that says which one is current.

The pointer is `policy.model`, by default `models/current`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from bot.errors import ModelError, UsageError
from bot.model import files, installed, manifest, rules
from bot.model.manifest import Model
from bot.model.pointers import Pointer, Promotion, is_model_id, locked, read_pointer, save_published, write
from bot.model.shipped_models import provide_shipped, shipped_ids

_HISTORY: Final = 1000

Published = Literal["added", "evaluation updated", "unchanged"]


def is_path(name: str) -> bool:
    """Whether a model's name is a path, and not that of a rule or an installed policy."""
    return not name.startswith((rules.PREFIX, installed.PREFIX))


def named_model(name: str) -> Model:
    """The model that a setting or an option names: a rule (`rule:mix?share=0.5`), an installed package's policy
    (`policy:NAME`), else what `resolve_model` finds.

    Raises ModelError where it is none, or cannot be used.
    """
    if name.startswith(rules.PREFIX):
        return manifest.rule_model(name.removeprefix(rules.PREFIX))
    if name.startswith(installed.PREFIX):
        return manifest.installed_model(name.removeprefix(installed.PREFIX))
    return files.load_model(resolve_model(Path(name)))


def require_registry(name: str) -> Path:
    """The registry's pointer, from `policy.model`. Raises UsageError where that is no path."""
    if not is_path(name):
        raise UsageError(f"policy.model is {name}: a registry needs a pointer there, such as models/current")
    return Path(name)


def resolve_model(path: Path) -> Path:
    """The folder of the model that `policy.model` means: itself, or the one beside a pointer that it names. The
    default registry is made from the shipped models where it is missing.

    Raises ModelError where it is neither.
    """
    provide_shipped(path)
    return path if path.is_dir() else model_folder(path, read_pointer(path).model_id)


def model_ids(pointer: Path) -> list[str]:
    """The models that the registry holds, usable or not."""
    folder = pointer.parent
    if not folder.is_dir():
        return []
    return sorted(
        entry.name for entry in folder.iterdir() if is_model_id(entry.name) and (entry / manifest.MANIFEST).is_file()
    )


def find_model_id(pointer: Path, prefix: str) -> str:
    """The model_id in the registry, or of a shipped model, that begins with `prefix`.

    Raises ModelError where none does, UsageError where several do.
    """
    known = sorted({*model_ids(pointer), *shipped_ids()})
    found = [model_id for model_id in known if prefix and model_id.startswith(prefix)]
    if len(found) > 1:
        raise UsageError(f"several models start with {prefix!r}: {', '.join(found)}; give more digits")
    if not found:
        raise ModelError(f"{pointer.parent} has no model {prefix!r}; it has {', '.join(known) or 'none'}")
    return found[0]


def list_models(pointer: Path) -> list[dict[str, Any]]:
    """A row for each model of the registry: `model_id`, `role` (`current`, `shadow` or empty), `since` when it is
    current in Unix seconds, the algorithm that `trained` it, and the `problem` of one that cannot be used.
    """
    content = read_pointer(pointer) if pointer.is_file() else None
    rows = []
    for model_id in model_ids(pointer):
        try:
            model = load_published(pointer, model_id)
            trained, problem = manifest.manifest_of(model).training.get("algorithm") or manifest.describe(model), None
        except ModelError as error:
            trained, problem = None, str(error)
        current = content is not None and model_id == content.model_id
        shadow = content is not None and model_id in content.shadows
        since = content.since if content is not None and current and content.since else None
        role = "current" if current else "shadow" if shadow else ""
        rows.append({"model_id": model_id, "role": role, "since": since, "trained": trained, "problem": problem})
    return rows


def load_published(pointer: Path, model_id: str) -> Model:
    """A model of the registry. Raises ModelError where it is not there, cannot be used, or is another."""
    folder = model_folder(pointer, model_id)
    model = files.load_model(folder)
    if model.model_id != model_id:
        raise ModelError(f"the folder {folder} holds model {model.model_id}: publish that one instead")
    return model


def publish(pointer: Path, model: Model) -> Published:
    """Copy the model into the registry, whole or not at all; it is not current by that. Where the registry has the
    model already, a new evaluation in the manifest takes the place of the old one.

    Raises ModelError where it cannot be written.
    """
    folder = model_folder(pointer, model.model_id)
    with locked(pointer):
        if not (folder.is_dir() and any(folder.iterdir())):
            save_published(model, folder)
            return "added"
        known = load_published(pointer, model.model_id)
        evaluation = manifest.manifest_of(model).evaluation
        if evaluation in ({}, manifest.manifest_of(known).evaluation):
            return "unchanged"
        files.replace_manifest(manifest.attach_evaluation(known, evaluation), folder)
        return "evaluation updated"


def promote(pointer: Path, model_id: str, now: float) -> Pointer:
    """Make a model of the registry current; a shadow ends by that.

    Raises ModelError where it is not there or cannot be used.
    """

    def promoted(last: Pointer | None) -> Pointer:
        if last is None:
            return Pointer(model_id, now)
        if last.model_id == model_id:
            return last
        before = (*last.before, Promotion(last.model_id, last.since))[-_HISTORY:]
        return Pointer(model_id, now, before, _without(last.shadows, model_id))

    load_published(pointer, model_id)
    return _change(pointer, promoted)


def rollback(pointer: Path, now: float) -> Pointer:
    """Make the model before the current one current. Raises ModelError where there was none or it cannot be used."""

    def rolled_back(last: Pointer | None) -> Pointer:
        if last is None or not last.before:
            raise ModelError(f"{pointer} has no model before the current one")
        model_id = last.before[-1].model_id
        load_published(pointer, model_id)
        return Pointer(model_id, now, last.before[:-1], _without(last.shadows, model_id))

    return _change(pointer, rolled_back)


def shadow(pointer: Path, model_id: str) -> Pointer:
    """Let a model run beside the current one on an account of its own.

    Raises ModelError as `promote`, UsageError where it is the current model.
    """

    def shadowed(last: Pointer | None) -> Pointer:
        if last is None:
            raise ModelError(f"{pointer} has no current model to run beside")
        if last.model_id == model_id:
            raise UsageError(f"{model_id} is the current model; shadow another one")
        return msgspec.structs.replace(last, shadows=(*_without(last.shadows, model_id), model_id))

    load_published(pointer, model_id)
    return _change(pointer, shadowed)


def unshadow(pointer: Path, model_id: str) -> Pointer:
    """End what `shadow` began. Raises UsageError where the model is not a shadow."""

    def ended(last: Pointer | None) -> Pointer:
        if last is None or model_id not in last.shadows:
            raise UsageError(f"{model_id} is not a shadow")
        return msgspec.structs.replace(last, shadows=_without(last.shadows, model_id))

    return _change(pointer, ended)


def signature(pointer: Path) -> tuple[int, ...] | None:
    """Changes whenever the pointer, or what a link there leads to, is replaced; None while there is nothing."""
    try:
        stat = (pointer if pointer.is_file() else pointer / manifest.MANIFEST).stat()
    except OSError:
        return None
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def model_folder(pointer: Path, model_id: str) -> Path:
    """Where the registry keeps that model. Raises ModelError where the id is none."""
    if not is_model_id(model_id):
        raise ModelError(f"{model_id!r} is not a model_id, which is 16 hex digits; `hourhand models list` shows them")
    folder = pointer.parent / model_id
    provide_shipped(folder)
    return folder


def _without(shadows: tuple[str, ...], model_id: str) -> tuple[str, ...]:
    return tuple(other for other in shadows if other != model_id)


def _change(pointer: Path, change: Callable[[Pointer | None], Pointer]) -> Pointer:
    if pointer.is_dir() and not pointer.is_symlink():
        raise UsageError(f"policy.model: {pointer} is a model's folder; name a pointer, such as models/current")
    with locked(pointer):
        changed = change(read_pointer(pointer) if pointer.is_file() else None)
        write(pointer, changed)
    return changed
