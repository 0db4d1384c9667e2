"""The models that come with the package, and the registry that is made from them where the default one is missing."""

from pathlib import Path
from typing import Final

from bot.errors import ModelError
from bot.model import files, manifest, pointers
from bot.settings import PolicySettings

SHIPPED: Final = Path(__file__).parent / "shipped"
"""Laid out as any registry; only ever read."""
SHIPPED_POINTER: Final = SHIPPED / "current"
DEFAULT_POINTER: Final = Path(PolicySettings().model)


def provide_shipped(path: Path) -> None:
    """Make what the default settings name and the current folder lacks: all of `models/` where `path` is
    `models/current`, a shipped model where `path` is its folder there. What exists is never changed, and processes
    that do it at once make it once.

    Raises ModelError where it cannot be written.
    """
    if path == DEFAULT_POINTER and not path.exists():
        _make_registry()
    elif path.parent == DEFAULT_POINTER.parent and path.name in _shipped_ids() and not path.exists():
        _copy(path.name)


def _make_registry() -> None:
    with pointers.locked(DEFAULT_POINTER):
        if DEFAULT_POINTER.exists():  # another process was faster
            return
        for model_id in _shipped_ids():
            _copy(model_id)
        pointers.write(DEFAULT_POINTER, pointers.read_pointer(SHIPPED_POINTER))


def _shipped_ids() -> list[str]:
    return sorted(folder.name for folder in SHIPPED.iterdir() if pointers.is_model_id(folder.name))


def _copy(model_id: str) -> None:
    folder = DEFAULT_POINTER.parent / model_id
    try:
        pointers.save_published(files.load_model(SHIPPED / model_id), folder)
    except ModelError:
        if not (folder / manifest.MANIFEST).exists():  # otherwise another process was faster
            raise
