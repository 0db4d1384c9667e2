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

from bot.errors import ModelError
from bot.model import features as feature_sets
from bot.model.actions import ACTIONS
from bot.model.features import Features
from bot.model.policy import NetworkSizes, Policy

FORMAT: Final = 1
WEIGHTS: Final = "weights.safetensors"
MANIFEST: Final = "model.json"
_MAX_WEIGHTS_BYTES: Final = 64 * 2**20
_MAX_MANIFEST_BYTES: Final = 4 * 2**20
_LARGEST_WEIGHT: Final = 1e6  # no training gets there, and no arithmetic on smaller ones overflows


class NetworkSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The manifest's part on the network: its kind, where the account enters, and its widths."""

    fc1: int
    lstm: int
    account_at: Literal["input", "heads"] = "input"
    kind: Literal["fc1-lstm-heads"] = "fc1-lstm-heads"


class FeaturesSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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
    network: NetworkSpec
    features: FeaturesSpec
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


def _identity(network: NetworkSpec, features: FeaturesSpec, tensors: Mapping[str, np.ndarray]) -> str:
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


def _sizes(network: NetworkSpec, features: Features) -> NetworkSizes:
    return NetworkSizes(
        len(features.market_names), len(features.account_names), network.fc1, network.lstm, network.account_at
    )


def build_model(
    tensors: Mapping[str, np.ndarray],
    network: NetworkSpec,
    features: Features,
    *,
    training: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
) -> Model:
    """A model from its weights (torch's names and shapes, float32 or float64), checked like one that is read.

    Raises ModelError where the weights do not fit the network and the features.
    """
    seen = FeaturesSpec(features.name, feature_sets.fingerprint(features.name))
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
    return parse_model(weights, _text(manifest))


def _text(manifest: Manifest) -> str:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode() + "\n"


def parse_model(weights: bytes, manifest: str) -> Model:
    """A model from the contents of its two files. Raises ModelError with one sentence where anything does not fit."""
    try:
        spec = msgspec.json.decode(manifest, type=Manifest)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ModelError(f"{MANIFEST} is not a model's manifest: {error}") from error
    if spec.format != FORMAT:
        raise ModelError(f"{MANIFEST} has format {spec.format}; this version reads format {FORMAT}")
    if tuple(spec.actions) != ACTIONS:
        raise ModelError(f"{MANIFEST} has the actions {', '.join(spec.actions)}, not {', '.join(ACTIONS)}")
    if hashlib.sha256(weights).hexdigest() != spec.weights_sha256:
        raise ModelError(f"{WEIGHTS} is not the file that {MANIFEST} describes: its SHA-256 differs")
    features = feature_sets.get_features(spec.features.name)
    if spec.features.sha256 != feature_sets.fingerprint(features.name):
        raise ModelError(f"the features {features.name!r} compute something else here than where the model was made")
    if not (1 <= spec.network.fc1 <= 4096 and 1 <= spec.network.lstm <= 4096):
        raise ModelError(f"{MANIFEST} has a network with layers of {spec.network.fc1} and {spec.network.lstm}")
    tensors = _tensors(weights, _sizes(spec.network, features))
    model_id = _identity(spec.network, spec.features, tensors)
    if model_id != spec.model_id:
        raise ModelError(f"{MANIFEST} says model_id {spec.model_id}, but these weights and sizes make {model_id}")
    policy = Policy.from_weights(_sizes(spec.network, features), tensors)
    return Model(model_id, features, policy, weights, spec.weights_sha256, manifest)


def _tensors(weights: bytes, sizes: NetworkSizes) -> dict[str, np.ndarray]:
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


def manifest_of(model: Model) -> Manifest:
    """The model's manifest, decoded."""
    return msgspec.json.decode(model.manifest, type=Manifest)


def attach_evaluation(model: Model, evaluation: Mapping[str, Any]) -> Model:
    """The same model with another evaluation in its manifest; its id stays."""
    changed = msgspec.structs.replace(manifest_of(model), evaluation=dict(evaluation))
    return parse_model(model.weights, _text(changed))


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
            _write(temporary / name, content)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def replace_manifest(model: Model, folder: Path) -> None:
    """Put the model's manifest in the place of the one in `folder`, whole or not at all.

    Raises ModelError where it cannot be written.
    """
    temporary = folder / f".{MANIFEST}.new"
    try:
        _write(temporary, model.manifest.encode())
        temporary.replace(folder / MANIFEST)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ModelError(f"{folder / MANIFEST} could not be written: {error}; the one before stays") from error


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
