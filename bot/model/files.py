"""A model's weights and manifest, to and from a folder; nothing is unpickled and nothing is half written."""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from bot.errors import ModelError
from bot.model.manifest import MANIFEST, WEIGHTS, Model, parse_model
from bot.whole import write_synced, write_whole

_MAX_WEIGHTS_BYTES: Final = 64 * 2**20
_MAX_MANIFEST_BYTES: Final = 4 * 2**20


def read_bounded(path: Path, limit: int) -> bytes:
    """A regular file's contents. Raises OSError where it is another kind of file or holds more than `limit` bytes."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a file")
    with path.open("rb") as file:
        content = file.read(limit + 1)  # a size that the file system states may be wrong by the time it is read
    if len(content) > limit:
        raise OSError(f"{path} is larger than {limit:,} bytes")
    return content


def load_model(folder: Path) -> Model:
    """The model in `folder`. Raises ModelError with one sentence where it is missing or anything does not fit."""
    try:
        weights = read_bounded(folder / WEIGHTS, _MAX_WEIGHTS_BYTES)
        manifest = read_bounded(folder / MANIFEST, _MAX_MANIFEST_BYTES).decode()
    except (OSError, UnicodeError) as error:
        raise ModelError(f"there is no readable model in {folder}: {error}") from error
    try:
        return parse_model(weights, manifest)
    except ModelError as error:
        raise ModelError(f"the model in {folder} cannot be used: {error}") from error


def save_model(model: Model, folder: Path) -> None:
    """Write the model to `folder` whole or not at all: to a temporary folder beside it, synced, then renamed.

    Raises ModelError where `folder` is there already and holds anything but this very model.
    """
    if folder.exists() and any(folder.iterdir()):
        if load_model(folder).model_id == model.model_id:
            return
        raise ModelError(f"{folder} holds another model already; remove it or choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in ((WEIGHTS, model.weights), (MANIFEST, model.manifest.encode())):
            write_synced(temporary / name, content)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def replace_manifest(model: Model, folder: Path) -> None:
    """Put the model's manifest in the place of the one in `folder`, whole or not at all.

    Raises ModelError where it cannot be written.
    """
    try:
        write_whole(folder / MANIFEST, model.manifest.encode())
    except OSError as error:
        raise ModelError(f"{folder / MANIFEST} could not be written: {error}; the previous one stays") from error
