"""A model's weights and manifest, to and from a folder; nothing is unpickled and nothing is half written."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from bot import features as feature_sets
from bot.account import ACTIONS
from bot.errors import ModelError
from bot.features import Features
from bot.policy import Policy, Sizes

FORMAT: Final = 1
WEIGHTS: Final = "weights.safetensors"
MANIFEST: Final = "model.json"
_MOST_BYTES: Final = 64 * 2**20
_LARGEST_WEIGHT: Final = 1e6  # no training gets there, and no arithmetic on smaller ones overflows


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The manifest's part on the network: its kind, where the account enters, and its widths."""

    fc1: int
    lstm: int
    account_at: Literal["input", "heads"] = "input"
    kind: Literal["fc1-lstm-heads"] = "fc1-lstm-heads"


class SeenFeatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The manifest's part on the features: their name and the fingerprint of what they compute."""

    name: str
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`model.json`. `network`, `features`, `actions` and `account_scaling` decide what the weights do; `training` and
    `evaluation` tell where they come from and how they did.
    """

    format: int
    model_id: str
    weights_sha256: str
    network: Network
    features: SeenFeatures
    actions: tuple[str, str, str] = ACTIONS
    account_scaling: Literal["initial"] = "initial"
    training: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A checked model, ready to decide. `weights` and `manifest` are the two files as they were read."""

    model_id: str
    features: Features
    policy: Policy
    weights: bytes
    weights_sha256: str
    manifest: str


def _identity(network: Network, features: SeenFeatures, tensors: Mapping[str, np.ndarray]) -> str:
    """16 hex digits over everything that decides what the model does, and nothing else."""
    deciding = {
        "format": FORMAT,
        "network": msgspec.to_builtins(network),
        "features": msgspec.to_builtins(features),
        "actions": ACTIONS,
        "account_scaling": "initial",
    }
    digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}{tensor.dtype.str}{tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()[:16]


def _sizes(network: Network, features: Features) -> Sizes:
    return Sizes(len(features.market_names), len(features.account_names), network.fc1, network.lstm, network.account_at)


def build(
    tensors: Mapping[str, np.ndarray],
    network: Network,
    features: Features,
    *,
    training: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
) -> Model:
    """A model from its weights (torch's names and shapes, float32 or float64), checked like one that is read.

    Raises ModelError where the weights do not fit the network and the features.
    """
    seen = SeenFeatures(features.name, feature_sets.fingerprint(features.name))
    weights = save_tensors({name: np.ascontiguousarray(tensor) for name, tensor in sorted(tensors.items())})
    manifest = Manifest(
        format=FORMAT,
        model_id=_identity(network, seen, tensors),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        network=network,
        features=seen,
        training=dict(training or {}),
        evaluation=dict(evaluation or {}),
    )
    return parse(weights, _text(manifest))


def _text(manifest: Manifest) -> str:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode() + "\n"


def parse(weights: bytes, manifest: str) -> Model:
    """A model from the contents of its two files. Raises ModelError with one sentence where anything does not fit."""
    try:
        told = msgspec.json.decode(manifest, type=Manifest)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ModelError(f"{MANIFEST} is not a model's manifest: {error}") from error
    if told.format != FORMAT:
        raise ModelError(f"{MANIFEST} has format {told.format}; this version reads format {FORMAT}")
    if tuple(told.actions) != ACTIONS:
        raise ModelError(f"{MANIFEST} has the actions {told.actions}, not {ACTIONS}")
    if hashlib.sha256(weights).hexdigest() != told.weights_sha256:
        raise ModelError(f"{WEIGHTS} is not the file that {MANIFEST} describes: its SHA-256 differs")
    features = feature_sets.named(told.features.name)
    if told.features.sha256 != feature_sets.fingerprint(features.name):
        raise ModelError(f"the features {features.name!r} compute something else here than where the model was made")
    if not (1 <= told.network.fc1 <= 4096 and 1 <= told.network.lstm <= 4096):
        raise ModelError(f"{MANIFEST} has a network with layers of {told.network.fc1} and {told.network.lstm}")
    tensors = _tensors(weights, _sizes(told.network, features))
    model_id = _identity(told.network, told.features, tensors)
    if model_id != told.model_id:
        raise ModelError(f"{MANIFEST} says model_id {told.model_id}, but these weights and sizes make {model_id}")
    policy = Policy.of(_sizes(told.network, features), tensors)
    return Model(model_id, features, policy, weights, told.weights_sha256, manifest)


def _tensors(weights: bytes, sizes: Sizes) -> dict[str, np.ndarray]:
    try:
        tensors: dict[str, np.ndarray] = load_tensors(weights)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{WEIGHTS} is not a safetensors file: {error}") from error
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if shapes != sizes.shapes():
        wrong = sorted(set(shapes.items()) ^ set(sizes.shapes().items()))
        raise ModelError(f"{WEIGHTS} does not hold the weights of this network: {wrong[0][0]} does not fit")
    for name, tensor in tensors.items():
        if tensor.dtype not in (np.float32, np.float64):
            raise ModelError(f"{WEIGHTS} has {name} as {tensor.dtype}, not as float32 or float64")
        if not (np.abs(tensor) <= _LARGEST_WEIGHT).all():
            raise ModelError(f"{WEIGHTS} has a weight in {name} that is not finite, or larger than {_LARGEST_WEIGHT:g}")
    return tensors


def with_evaluation(model: Model, evaluation: Mapping[str, Any]) -> Model:
    """The same model with another evaluation in its manifest; its id stays."""
    told = msgspec.json.decode(model.manifest, type=Manifest)
    changed = msgspec.structs.replace(told, evaluation=dict(evaluation))
    return parse(model.weights, _text(changed))


def load(folder: Path) -> Model:
    """The model in `folder`. Raises ModelError with one sentence where it is missing or anything does not fit."""
    try:
        if (folder / WEIGHTS).stat().st_size > _MOST_BYTES:
            raise ModelError(f"the model in {folder}: {WEIGHTS} is larger than any model of this kind")
        weights, manifest = (folder / WEIGHTS).read_bytes(), (folder / MANIFEST).read_text()
    except (OSError, UnicodeError) as error:
        raise ModelError(f"there is no readable model in {folder}: {error}") from error
    try:
        return parse(weights, manifest)
    except ModelError as error:
        raise ModelError(f"the model in {folder} cannot be used: {error}") from error


def save(model: Model, folder: Path) -> None:
    """Write the model to `folder` whole or not at all: to a temporary folder beside it, synced, then renamed.

    Raises ModelError where `folder` is there already and holds anything but this very model.
    """
    if folder.exists() and any(folder.iterdir()):
        if load(folder).model_id == model.model_id:
            return
        raise ModelError(f"{folder} holds another model already; remove it or choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in ((WEIGHTS, model.weights), (MANIFEST, model.manifest.encode())):
            with (temporary / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        temporary.chmod(0o755)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
