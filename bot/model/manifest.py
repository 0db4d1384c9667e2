"""What a model is: the contents of its two files, weights and manifest, checked; and the id that follows from them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from bot.errors import ModelError
from bot.model import features as feature_sets
from bot.model.actions import ACTIONS
from bot.model.behaviour import behaviour_of
from bot.model.code import CodeManifest, InstalledSpec, deciding_part, find_policy, kind_of
from bot.model.features import Features
from bot.model.installed import installed_policy, settled_behaviour
from bot.model.network import Network, NetworkPolicy, NetworkSizes
from bot.model.policy import Policy
from bot.model.rules import parse_rule

WEIGHTS: Final = "weights.safetensors"
MANIFEST: Final = "model.json"
_MOST_MEMBERS: Final = 20
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
    """`model.json` of networks. `network`, `features`, `actions` and `account_scaling` decide what the weights do;
    `training` and `evaluation` tell where they come from and how they did. Format 1 is one network; format 2 also says
    how many `members` are averaged, and the name of a weight begins with its member's number, as in `0/fc1.weight`.
    """

    format: int
    model_id: str
    weights_sha256: str
    network: NetworkSpec
    features: FeaturesSpec
    actions: tuple[str, str, str] = ACTIONS
    account_scaling: Literal["initial"] = "initial"
    members: int | msgspec.UnsetType = msgspec.UNSET
    training: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}


AnyManifest = Manifest | CodeManifest


class _Kind(msgspec.Struct, frozen=True):
    """What tells the kinds of manifests apart."""

    format: int
    rule: Any = None
    policy: Any = None
    members: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A checked model, ready to decide. `weights` and `manifest` are the two files as they were read."""

    model_id: str
    policy: Policy
    weights: bytes
    weights_sha256: str
    manifest: str


def build_model(
    tensors: Mapping[str, np.ndarray],
    network: NetworkSpec,
    features: Features,
    *,
    training: Mapping[str, Any] | None = None,
) -> Model:
    """A network's model from its weights (torch's names and shapes, float32 or float64), checked like one that is read.

    Raises ModelError where the weights do not fit the network and the features.
    """
    return _built(tensors, network, features, msgspec.UNSET, training)


def build_ensemble(
    members: Sequence[Mapping[str, np.ndarray]],
    network: NetworkSpec,
    features: Features,
    *,
    training: Mapping[str, Any] | None = None,
) -> Model:
    """The model that averages several networks of the same sizes, from the weights of each. Raises as `build_model`."""
    tensors = {f"{n}/{name}": tensor for n, member in enumerate(members) for name, tensor in member.items()}
    return _built(tensors, network, features, len(members), training)


def _built(
    tensors: Mapping[str, np.ndarray],
    network: NetworkSpec,
    features: Features,
    members: int | msgspec.UnsetType,
    training: Mapping[str, Any] | None,
) -> Model:
    seen = FeaturesSpec(features.name, feature_sets.fingerprint(features.name))
    weights = save_tensors({name: np.ascontiguousarray(tensor) for name, tensor in sorted(tensors.items())})
    manifest = Manifest(
        format=1 if members is msgspec.UNSET else 2,
        model_id=_identity(_network_deciding(network, seen, members), tensors),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        network=network,
        features=seen,
        members=members,
        training=dict(training or {}),
    )
    return parse_model(weights, _text(manifest))


def rule_model(text: str, *, training: Mapping[str, Any] | None = None) -> Model:
    """The model of a rule, from text such as `mix?share=0.5`; `training` tells how it was chosen.

    Raises ModelError as `parse_rule`.
    """
    rule, policy = parse_rule(text)
    return _code_model(policy, behaviour_of(policy), {"rule": rule, "training": dict(training or {})})


def installed_model(name: str) -> Model:
    """The model of an installed package's policy. Raises ModelError as `installed_policy` and `settled_behaviour`."""
    found = installed_policy(name)
    spec = InstalledSpec(found.name, found.package, found.version)
    return _code_model(found.policy, settled_behaviour(found), {"policy": spec})


def _code_model(policy: Policy, behaviour: str, parts: dict[str, Any]) -> Model:
    weights = save_tensors({})
    sha256 = hashlib.sha256(weights).hexdigest()
    manifest = CodeManifest(format=2, model_id="", weights_sha256=sha256, behaviour=behaviour, **parts)
    manifest = msgspec.structs.replace(manifest, model_id=_identity(deciding_part(manifest), {}))
    return Model(manifest.model_id, policy, weights, sha256, _text(manifest))


def parse_model(weights: bytes, manifest: str) -> Model:
    """A model from the contents of its two files. Raises ModelError with one sentence where anything does not fit."""
    spec = _decode(manifest)
    if tuple(spec.actions) != ACTIONS:
        raise ModelError(f"{MANIFEST} has the actions {', '.join(spec.actions)}, not {', '.join(ACTIONS)}")
    if hashlib.sha256(weights).hexdigest() != spec.weights_sha256:
        raise ModelError(f"{WEIGHTS} is not the file that {MANIFEST} describes: its SHA-256 differs")
    tensors = _tensors(weights)
    if isinstance(spec, CodeManifest):
        if tensors:
            raise ModelError(f"{WEIGHTS} has weights, but a policy that is code has none")
        policy, deciding = find_policy(spec), deciding_part(spec)
    else:
        policy, deciding = _network(spec, tensors)
    model_id = _identity(deciding, tensors)
    if model_id != spec.model_id:
        raise ModelError(f"{MANIFEST} says model_id {spec.model_id}, but its content gives {model_id}")
    return Model(model_id, policy, weights, spec.weights_sha256, manifest)


def manifest_of(model: Model) -> AnyManifest:
    """The model's manifest, decoded."""
    return _decode(model.manifest)


def attach_evaluation(model: Model, evaluation: Mapping[str, Any]) -> Model:
    """The same model with another evaluation in its manifest; its id stays."""
    changed = msgspec.structs.replace(manifest_of(model), evaluation=dict(evaluation))
    return parse_model(model.weights, _text(changed))


def describe(model: Model) -> str:
    """What kind of model it is, in a few words: `rule mix?band=0.15&share=0.5`, `network on the features returns`."""
    manifest = manifest_of(model)
    if isinstance(manifest, CodeManifest):
        return kind_of(manifest)
    if manifest.members is msgspec.UNSET:
        return f"network on the features {manifest.features.name}"
    return f"average of {manifest.members} networks on the features {manifest.features.name}"


def trained_timeframe(model: Model) -> str | None:
    """The timeframe of the bars that a network learned from, hourly where its manifest does not say; None for a policy
    that is code, which fits any.
    """
    manifest = manifest_of(model)
    return None if isinstance(manifest, CodeManifest) else str(manifest.training.get("timeframe", "1h"))


def _decode(manifest: str) -> AnyManifest:
    try:
        kind = msgspec.json.decode(manifest, type=_Kind)
        given = [part is not None for part in (kind.rule, kind.policy, kind.members)]
        if kind.format == 1 and kind.members is not None:
            raise ModelError(f"{MANIFEST} has format 1, which is a single network, but lists members")
        if kind.format == 1 or (kind.format == 2 and given == [False, False, True]):
            return msgspec.json.decode(manifest, type=Manifest)
        if kind.format == 2 and sum(given[:2]) == 1 and not given[2]:
            return msgspec.json.decode(manifest, type=CodeManifest)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ModelError(f"{MANIFEST} is not a model's manifest: {error}") from error
    raise ModelError(
        f"{MANIFEST} has format {kind.format} and describes nothing that this version knows: it reads networks of "
        "format 1, and averages of networks, rules and installed policies of format 2"
    )


def _text(manifest: AnyManifest) -> str:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode() + "\n"


def _identity(deciding: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    """16 hex digits over everything that decides what the model does, and nothing else."""
    digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}{tensor.dtype.str}{tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()[:16]


def _network_deciding(network: NetworkSpec, features: FeaturesSpec, members: int | msgspec.UnsetType) -> dict[str, Any]:
    several = {} if members is msgspec.UNSET else {"members": members}
    return several | {
        "format": 2 if several else 1,
        "network": msgspec.to_builtins(network),
        "features": msgspec.to_builtins(features),
        "actions": ACTIONS,
        "account_scaling": "initial",
    }


def _network(spec: Manifest, tensors: Mapping[str, np.ndarray]) -> tuple[Policy, dict[str, Any]]:
    features = feature_sets.get_features(spec.features.name)
    if spec.features.sha256 != feature_sets.fingerprint(features.name):
        raise ModelError(f"the features {features.name!r} compute different values here than where the model was made")
    if not (1 <= spec.network.fc1 <= 4096 and 1 <= spec.network.lstm <= 4096):
        raise ModelError(f"{MANIFEST} has a network with layers of {spec.network.fc1} and {spec.network.lstm}")
    sizes = _sizes(spec.network, features)
    if spec.members is msgspec.UNSET:
        prefixes: tuple[str, ...] = ("",)
    elif 1 <= spec.members <= _MOST_MEMBERS:
        prefixes = tuple(f"{n}/" for n in range(spec.members))
    else:
        raise ModelError(f"{MANIFEST} has {spec.members} members, but a model has 1 to {_MOST_MEMBERS}")
    _check_tensors(tensors, {prefix + name: shape for prefix in prefixes for name, shape in sizes.shapes().items()})
    networks = tuple(
        Network.from_weights(sizes, {name: tensors[prefix + name] for name in sizes.shapes()}) for prefix in prefixes
    )
    return NetworkPolicy(features, networks), _network_deciding(spec.network, spec.features, spec.members)


def _sizes(network: NetworkSpec, features: Features) -> NetworkSizes:
    return NetworkSizes(
        len(features.market_names), len(features.account_names), network.fc1, network.lstm, network.account_at
    )


def _tensors(weights: bytes) -> dict[str, np.ndarray]:
    try:
        tensors: dict[str, np.ndarray] = load_tensors(weights)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{WEIGHTS} is not a safetensors file: {error}") from error
    return tensors


def _check_tensors(tensors: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]) -> None:
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if shapes != wanted:
        wrong = sorted(set(shapes.items()) ^ set(wanted.items()))
        raise ModelError(f"{WEIGHTS} does not hold the weights of this network: {wrong[0][0]} does not fit")
    for name, tensor in tensors.items():
        if tensor.dtype not in (np.float32, np.float64):
            raise ModelError(f"{WEIGHTS} has {name} as {tensor.dtype}, not as float32 or float64")
        if not (np.abs(tensor) <= _LARGEST_WEIGHT).all():
            raise ModelError(f"{WEIGHTS} has a weight in {name} that is not finite, or larger than {_LARGEST_WEIGHT:g}")
