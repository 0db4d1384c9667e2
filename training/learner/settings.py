"""Hyper-parameters of the trainer: one TOML file, validate_settings once, here."""

import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from bot.errors import ModelError, UsageError
from bot.model import features as feature_sets
from bot.settings import RuleSettings
from bot.toml import read_toml, validate_settings

DEFAULT_FILE: Final = Path("config/training.toml")

Count = Annotated[int, Meta(ge=1)]
Unit = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]


class NetworkSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[network]`: what the policy sees and how wide it is."""

    features: str = "slow"
    fc1: Annotated[int, Meta(ge=1, le=4096)] = 64
    lstm: Annotated[int, Meta(ge=1, le=4096)] = 32
    account_at: Literal["input", "heads"] = "heads"


class WindowSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[windows]`: what one iteration collects."""

    count: Count = 128
    length: Count = 250


class CostSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[costs]`: what a trade costs in training beyond the account's commission."""

    half_spread: Annotated[float, Meta(ge=0, lt=0.5)] = 0.001


class PpoSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[ppo]`: the algorithm's own."""

    steps: Count = 3_072_000
    passes: Count = 4
    minibatches: Count = 2
    learning_rate: Positive = 0.02
    anneal: bool = True
    gamma: Unit = 0.99
    gae_lambda: Unit = 0.95
    clip: Positive = 0.2
    value_coefficient: Amount = 0.03
    entropy_coefficient: Amount = 0.003
    max_gradient_norm: Positive = 0.5
    target_kl: Amount = 0.02


class BlockSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[blocks]`: what is kept from each member of a training, and what is made of how it does there."""

    count: Annotated[int, Meta(ge=2, le=20)] = 4
    embargo: Annotated[int, Meta(ge=0)] = 720
    trials: Count = 5


class RiskSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[risk]`: where a model without evidence stands."""

    volatility: Positive = 0.35
    most: Annotated[float, Meta(ge=0.05, le=0.95)] = 0.75


class RunSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[run]`: how a run is kept."""

    checkpoint_every: Count = 5


class TrainingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set, with the defaults of `config/training.toml`."""

    network: NetworkSettings = NetworkSettings()
    windows: WindowSettings = WindowSettings()
    costs: CostSettings = CostSettings()
    ppo: PpoSettings = PpoSettings()
    account: RuleSettings = RuleSettings()
    blocks: BlockSettings = BlockSettings()
    risk: RiskSettings = RiskSettings()
    run: RunSettings = RunSettings()

    def lasting(self, steps: int) -> "TrainingSettings":
        """The same for another number of environment steps."""
        return msgspec.structs.replace(self, ppo=msgspec.structs.replace(self.ppo, steps=steps))

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration."""
        return self.windows.count * self.windows.length

    @property
    def iterations(self) -> int:
        """Iterations until `ppo.steps` are taken, the last one whole."""
        return math.ceil(self.ppo.steps / self.steps_per_iteration)


BENCH: Final[dict[str, dict[str, Any]]] = {
    "network": {"features": "article", "fc1": 64, "lstm": 32, "account_at": "input"},
    "windows": {"count": 896, "length": 500},
    "ppo": {
        "passes": 3,
        "minibatches": 1,
        "learning_rate": 0.02,
        "gamma": 0.95,
        "gae_lambda": 0.95,
        "value_coefficient": 0.03,
        "target_kl": 0.0,
    },
}


def load_training_settings(file: Path | None = None, preset: str = "default") -> TrainingSettings:
    """The settings of `file` (None: `config/training.toml` where there is one), held to what the preset fixes.

    Raises UsageError that names the key where one is unknown, of another type, out of range or does not fit another.
    """
    sections = read_toml(file, DEFAULT_FILE, "training settings")
    for section, fixed in (BENCH if preset == "bench" else {}).items():
        sections[section] = {**sections.get(section, {}), **fixed}
    return parse(sections)


def parse(sections: dict[str, Any]) -> TrainingSettings:
    """Settings from plain sections of keys; raises UsageError as above."""
    settings = validate_settings(sections, TrainingSettings, "training settings")
    if settings.windows.count % settings.ppo.minibatches:
        raise UsageError("training settings: windows.count is not a multiple of ppo.minibatches")
    try:
        feature_sets.get_features(settings.network.features)
    except ModelError as error:
        raise UsageError(f"training settings: network.features: {error}") from error
    return settings
