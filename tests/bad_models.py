"""Models that must never decide a bar, each spoilt in one way and otherwise as consistent as it can be."""

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from bot.model import Model
from bot.model.manifest import MANIFEST, WEIGHTS


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.crater,)


def _flipped(weights: bytes) -> bytes:
    return weights[:-1] + bytes([weights[-1] ^ 1])


def _reshaped(weights: bytes) -> bytes:
    return save({name: np.concatenate([tensor, tensor]) for name, tensor in load(weights).items()})


def _with_nan(weights: bytes) -> bytes:
    tensors = {name: tensor.copy() for name, tensor in load(weights).items()}
    tensors["lstm.bias_hh_l0"][3] = np.nan
    return save(tensors)


# What becomes of the weights (whose SHA-256 the manifest then has right), what becomes of the manifest, and a word of
# the sentence that refuses it.
_SPOILT: dict[str, tuple[Callable[[bytes], bytes], dict[str, Any], str]] = {
    "wrong-shape": (_reshaped, {}, "does not fit"),
    "non-finite": (_with_nan, {}, "not finite"),
    "wrong-features": (bytes, {"features": {"name": "article", "sha256": "0" * 64}}, "compute different values"),
    "unknown-features": (bytes, {"features": {"name": "tea-leaves", "sha256": "0" * 64}}, "not known"),
    "wrong-format": (bytes, {"format": 2}, "format 2"),
    "wrong-actions": (bytes, {"actions": ["sell", "buy", "hold"]}, "actions"),
    "wrong-sizes": (bytes, {"network": {"fc1": 9, "lstm": 6}}, "does not fit"),
    "wrong-id": (bytes, {"model_id": "0123456789abcdef"}, "0123456789abcdef"),
    "unknown-key": (bytes, {"run_me": "rm -r"}, "run_me"),
}
KINDS = {
    "corrupt": "SHA-256",
    "truncated": "SHA-256",
    "cut-manifest": "not a model's manifest",
    "no-weights": "no readable model",
    "pickled": "not a safetensors file",
    **{kind: word for kind, (_, _, word) in _SPOILT.items()},
}
"""Every way, with words of the sentence that refuses it."""


def spoil(model: Model, kind: str, folder: Path, crater: Path | None = None) -> Path:
    """Write `model`, spoilt in the way `kind`, to `folder`; unpickling a `pickled` one makes the file `crater`."""
    folder.mkdir(parents=True)
    weights, manifest = model.weights, model.manifest
    if kind in _SPOILT:
        change, entries, _ = _SPOILT[kind]
        weights = change(weights)
        manifest = json.dumps(
            {**json.loads(manifest), "weights_sha256": hashlib.sha256(weights).hexdigest(), **entries}
        )
    elif kind == "pickled":
        weights = pickle.dumps(Bomb(crater or folder / "crater"))
        manifest = json.dumps({**json.loads(manifest), "weights_sha256": hashlib.sha256(weights).hexdigest()})
    elif kind == "corrupt":
        weights = _flipped(weights)
    elif kind == "truncated":
        weights = weights[: len(weights) // 2]
    elif kind == "cut-manifest":
        manifest = manifest[: len(manifest) // 2]
    (folder / MANIFEST).write_text(manifest)
    if kind != "no-weights":
        (folder / WEIGHTS).write_bytes(weights)
    return folder
