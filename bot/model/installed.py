"""Policies of other packages, found by their entry points in the group `hourhand.policies`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from bot.errors import ModelError
from bot.model.behaviour import behaviour_of, require_promises
from bot.model.features import Array
from bot.model.policy import Observation, Policy, PolicyOutput, wanted_warmup

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PREFIX: Final = "policy:"
GROUP: Final = "hourhand.policies"


class Installed(NamedTuple):
    """A policy and where it comes from: the entry point's name, its package and that one's version."""

    name: str
    package: str
    version: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class ForeignPolicy:
    """Another package's policy, which is shown one account at a time and whose every answer is checked."""

    name: str
    policy: Policy

    @property
    def warmup_bars(self) -> int:
        """As `wanted_warmup`. Raises ModelError where that is no number of bars."""
        bars: Any = wanted_warmup(self.policy)  # whatever somebody else wrote there
        if not isinstance(bars, int) or bars < 0:
            raise ModelError(f"the policy {self.name} wants a warm-up of {bars!r} bars: give a whole number, 0 or more")
        return bars

    def start(self) -> Array:
        """As `Policy.start`. Raises ModelError where the policy fails."""
        try:
            memory = np.array(self.policy.start(), dtype=np.float64)
        except Exception as error:
            raise ModelError(f"the policy {self.name} cannot start: {_in_words(error)}") from error
        return memory

    def step(self, observation: Observation, memory: Array) -> PolicyOutput:
        """As `Policy.step`; one account after the other where there are several.

        Raises ModelError where the policy fails, or breaks what `Policy` promises.
        """
        if np.ndim(observation.balance) == 0:
            return self._step(observation, memory)
        accounts = zip(observation.balance.tolist(), observation.stocks.tolist(), memory, strict=True)
        outputs = [self._step(observation._replace(balance=b, stocks=s), row) for b, s, row in accounts]
        return PolicyOutput(*(np.stack(column) for column in zip(*outputs, strict=True)))

    def _step(self, observation: Observation, memory: Array) -> PolicyOutput:
        try:
            probabilities, value, after = self.policy.step(observation, memory.copy())
            output = PolicyOutput(*(np.array(part, dtype=np.float64) for part in (probabilities, value, after)))
        except Exception as error:
            bar = observation.candle.bar_time
            raise ModelError(f"the policy {self.name} fails on the candle of {bar}: {_in_words(error)}") from error
        require_promises(output, memory)
        return output


def installed_policy(name: str) -> Installed:
    """The policy that an installed package offers under that name, made anew.

    Raises ModelError with one sentence where no package or more than one does, or it cannot be made.
    """
    entry = _entry(name)
    package = entry.dist.name if entry.dist else "?"
    try:
        policy = entry.load()()
    except Exception as error:
        raise ModelError(f"the policy {name} of the package {package} cannot be made: {_in_words(error)}") from error
    return Installed(name, package, entry.dist.version if entry.dist else "0", ForeignPolicy(name, policy))


def settled_behaviour(installed: Installed) -> str:
    """`behaviour_of` the policy. Raises ModelError as that, and where it decides otherwise when it is asked again."""
    behaviour = behaviour_of(installed.policy)
    if behaviour_of(installed.policy) != behaviour:
        raise ModelError(
            f"the policy {installed.name} decides the same candles in two ways: what it remembers belongs into its "
            "memory, and chance, clocks and files into no policy"
        )
    return behaviour


def _entry(name: str) -> "EntryPoint":
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to load, and rarely needed

    found = list(entry_points(group=GROUP, name=name))
    if len(found) == 1:
        return found[0]
    if found:
        packages = ", ".join(sorted(entry.dist.name if entry.dist else "?" for entry in found))
        raise ModelError(f"more than one installed package has a policy {name!r}: {packages}; remove all but one")
    known = sorted(entry.name for entry in entry_points(group=GROUP))
    raise ModelError(
        f"no package that is installed here has a policy {name!r}; "
        + (f"there are {', '.join(known)}" if known else f"none has an entry point in the group {GROUP}")
    )


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")
