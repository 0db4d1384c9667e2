"""Where models live: a folder of models, each under its model_id, and the pointer that says which one is current."""

import json
from pathlib import Path

from bot.errors import ModelError


def resolve(pointer: Path) -> Path:
    """The folder of the model that `policy.model` means: itself, or the one beside a pointer that it names.

    A pointer is a small JSON file, `{"model_id": "..."}`. Raises ModelError where it is neither.
    """
    if pointer.is_dir():
        return pointer
    try:
        told = json.loads(pointer.read_text(encoding="utf-8"))
        model_id = told["model_id"]
    except FileNotFoundError as error:
        raise ModelError(f"policy.model: there is neither a model nor a pointer to one at {pointer}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"policy.model: {pointer} is no model's folder and no pointer: {error}") from error
    if not isinstance(model_id, str) or Path(model_id).name != model_id:
        raise ModelError(f"policy.model: {pointer} does not name a model: {model_id!r}")
    return pointer.parent / model_id
