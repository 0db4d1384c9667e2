"""The models that come with the package, and the registry that is made from them where the default one is missing."""

from pathlib import Path
from typing import Final

from bot.errors import ModelError
from bot.model import files, manifest, pointers
from bot.settings import PolicySettings, is_left_at_default

SHIPPED: Final = Path(__file__).parent / "shipped"
"""Laid out as any registry; only ever read."""
SHIPPED_POINTER: Final = SHIPPED / "current"
DEFAULT_POINTER: Final = Path(PolicySettings().model)


def provide_shipped(path: Path) -> None:
    """Make what the default settings name and is not there: all of `models/` where `path` is the default of
    `policy.model`; a shipped model where `path` is the folder that it has in a registry. What
    exists is never changed, and processes that do it at once make it once.

    Raises ModelError where it cannot be written.
    """
    if path.exists():
        return
    if is_default_pointer(path):
        _make_registry(path)
    elif path.name in shipped_ids() and path.parent.is_dir():
        _copy(path)


def is_default_pointer(path: Path) -> bool:
    """Whether `policy.model` was left at its default: `models/current`, from the current folder or the settings'."""
    return path == DEFAULT_POINTER or is_left_at_default(path)


def shipped_ids() -> list[str]:
    """The models that come with the package."""
    return sorted(folder.name for folder in SHIPPED.iterdir() if pointers.is_model_id(folder.name))


def _make_registry(pointer: Path) -> None:
    with pointers.locked(pointer):
        if pointer.exists():  # another process was faster
            return
        for model_id in shipped_ids():
            _copy(pointer.parent / model_id)
        pointers.write(pointer, pointers.read_pointer(SHIPPED_POINTER))


def _copy(folder: Path) -> None:
    try:
        pointers.save_published(files.load_model(SHIPPED / folder.name), folder)
    except ModelError:
        if not (folder / manifest.MANIFEST).exists():  # otherwise another process was faster
            raise
