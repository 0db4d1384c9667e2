"""The manifest of a policy that is code: a rule, or what another package offers."""

from typing import Any

import msgspec

from bot.errors import ModelError
from bot.model.actions import ACTIONS
from bot.model.behaviour import behaviour_of
from bot.model.installed import installed_policy, settled_behaviour
from bot.model.policy import Policy
from bot.model.rules import parse_rule


class InstalledSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The manifest's part on a policy of another package: its entry point's name, the package and its version."""

    name: str
    package: str
    version: str


class CodeManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`model.json` of a policy that is code and has no weights, format 2: `rule`, its text, or `policy`, the installed
    one that is meant. That, `behaviour` (the SHA-256 of what it does on fixed candles) and `actions` decide.
    """

    format: int
    model_id: str
    weights_sha256: str
    rule: str | msgspec.UnsetType = msgspec.UNSET
    policy: InstalledSpec | msgspec.UnsetType = msgspec.UNSET
    behaviour: str
    actions: tuple[str, str, str] = ACTIONS
    training: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}


def deciding_part(spec: CodeManifest) -> dict[str, Any]:
    """What of the manifest decides what the model does."""
    named = {name: msgspec.to_builtins(part) for name in ("rule", "policy") if (part := getattr(spec, name))}
    return {"format": 2, **named, "behaviour": spec.behaviour, "actions": ACTIONS}


def kind_of(spec: CodeManifest) -> str:
    """`rule hold`, or `policy NAME of the package PACKAGE VERSION`."""
    if spec.policy:
        return f"policy {spec.policy.name} of the package {spec.policy.package} {spec.policy.version}"
    return f"rule {spec.rule}"


def find_policy(spec: CodeManifest) -> Policy:
    """The policy that the manifest means.

    Raises ModelError where there is no such rule, the package is not installed, or it decides otherwise here.
    """
    if spec.policy:
        policy, behaviour = _find_installed(spec, spec.policy)
    else:
        rule, policy = parse_rule(spec.rule or "")
        if rule != spec.rule:
            raise ModelError(f"the manifest has the rule {spec.rule}, which must be written {rule}")
        behaviour = behaviour_of(policy)
    if behaviour != spec.behaviour:
        raise ModelError(f"the {kind_of(spec)} decides differently here than where the model was made")
    return policy


def _find_installed(spec: CodeManifest, wanted: InstalledSpec) -> tuple[Policy, str]:
    """The policy that the manifest means, whatever its version here, and what it does."""
    try:
        found = installed_policy(wanted.name)
    except ModelError as error:
        raise ModelError(f"it needs the {kind_of(spec)}: {error}") from error
    if found.package != wanted.package:
        raise ModelError(
            f"it needs the {kind_of(spec)}, but here the package {found.package} has the policy of that name"
        )
    return found.policy, settled_behaviour(found)
