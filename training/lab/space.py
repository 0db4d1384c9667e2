"""A space of settings, and what to try of it next: every combination, random draws, or what Optuna proposes."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from bot.errors import UsageError
from bot.extras import extras_required
from bot.settings import read_toml
from training.learner import TrainingSettings, parse

METHODS: Final = ("grid", "random", "optuna")
BATCH: Final = 4  # proposals that Optuna makes before it is told of their results, however many workers there are
MOST_IN_A_GRID: Final = 10_000


class Range(NamedTuple):
    """Numbers from `low` to `high`, ends included, logarithmically where `log`; whole ones where both ends are."""

    low: float | int
    high: float | int
    log: bool

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space = Mapping[str, Sequence[Any] | Range]
"""What may be chosen for each key, such as `ppo.gamma`: a list of values, or a range."""

Changes = dict[str, Any]
"""A value for each key of a space."""


def read_space(file: Path) -> Space:
    """The space of a TOML file with the sections and keys of config/training.toml: a value is a list of choices, or
    `{low = 0.001, high = 0.1, log = true}`.

    Raises UsageError where it cannot be read or a value is neither.
    """
    sections = read_toml(file, file, "the space")
    space: dict[str, Sequence[Any] | Range] = {}
    for section, table in sections.items():
        if not isinstance(table, dict):
            raise UsageError(f"{file}: {section} is not a section such as [ppo]")
        for key, value in table.items():
            space[f"{section}.{key}"] = _choices(file, f"{section}.{key}", value)
    if not space:
        raise UsageError(f"{file} holds no choice: write for example [ppo] and gamma = [0.95, 0.99]")
    return dict(sorted(space.items()))


def _choices(file: Path, key: str, value: Any) -> Sequence[Any] | Range:
    if isinstance(value, list) and value:
        return value
    if isinstance(value, dict) and {"low", "high"} <= value.keys() <= {"low", "high", "log"}:
        low, high, log = value["low"], value["high"], bool(value.get("log", False))
        numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
        if numbers and low < high and (low > 0 or not log):
            return Range(low, high, log)
    raise UsageError(f"{file}: {key} is a list of choices, or {{low = 0.001, high = 0.1, log = true}}, not {value!r}")


def changed(settings: TrainingSettings, changes: Changes) -> TrainingSettings:
    """The settings with other values. Raises UsageError that names a key that is unknown or out of range."""
    plain = json.loads(json.dumps(msgspec.to_builtins(settings)))
    for key, value in changes.items():
        section, _, name = key.partition(".")
        plain.setdefault(section, {})[name] = value
    return parse(plain)


def settings_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Settings as a TOML file that `--config` reads."""
    lines = [
        line
        for section, table in sections.items()
        for line in (f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()))
    ]
    return "\n".join(lines) + "\n"


def grid(space: Space) -> list[Changes]:
    """Every combination of choices. Raises UsageError where there is a range, or too many."""
    ranges = [key for key, choices in space.items() if isinstance(choices, Range)]
    if ranges:
        raise UsageError(f"--method grid needs lists of choices, and {ranges[0]} is a range: try random or optuna")
    lists = [list(choices) for choices in space.values()]
    if math.prod(map(len, lists)) > MOST_IN_A_GRID:
        raise UsageError(f"the space has {math.prod(map(len, lists)):,} combinations: try --method random or optuna")
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*lists)]


def random_draws(space: Space, count: int, seed: int) -> list[Changes]:
    """`count` draws, each value independent of the others; different ones as far as there are."""
    chance = np.random.default_rng(seed)
    found: dict[str, Changes] = {}
    for _ in range(20 * count):
        draw = {key: _drawn(choices, chance) for key, choices in space.items()}
        found.setdefault(json.dumps(draw), draw)
        if len(found) == count:
            break
    return list(found.values())


def _drawn(choices: Sequence[Any] | Range, chance: np.random.Generator) -> Any:
    if not isinstance(choices, Range):
        return choices[int(chance.integers(len(choices)))]
    if choices.whole and not choices.log:
        return int(chance.integers(int(choices.low), int(choices.high) + 1))
    ends = np.log([choices.low, choices.high]) if choices.log else np.array([choices.low, choices.high])
    value = float(chance.uniform(*ends))
    value = math.exp(value) if choices.log else value
    return round(value) if choices.whole else float(f"{value:.6g}")


class Proposals:
    """Optuna's sampler (a tree-structured Parzen estimator) in batches of BATCH: `batches` yields them, and each is to
    be answered by `score` before the next. The same scores give the same proposals.

    Raises UsageError where Optuna is not installed.
    """

    def __init__(self, space: Space, count: int, seed: int) -> None:
        with extras_required("--method optuna"):
            import optuna  # noqa: PLC0415 - an extra, and slow to load
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._count = space, count
        self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        self._asked: list[Any] = []

    def batches(self) -> Iterator[list[Changes]]:
        """The next settings to try."""
        left = self._count
        while left > 0:
            self._asked = [self._study.ask() for _ in range(min(BATCH, left))]
            left -= len(self._asked)
            yield [
                {key: _suggested(trial, key, choices) for key, choices in self._space.items()} for trial in self._asked
            ]

    def score(self, scores: Sequence[float]) -> None:
        """What the batch came to, in its order; more is better."""
        for trial, score in zip(self._asked, scores, strict=True):
            self._study.tell(trial, score)


def _suggested(trial: Any, key: str, choices: Sequence[Any] | Range) -> Any:
    if not isinstance(choices, Range):
        return choices[trial.suggest_categorical(key, list(range(len(choices))))]
    if choices.whole:
        return trial.suggest_int(key, int(choices.low), int(choices.high), log=choices.log)
    return float(f"{trial.suggest_float(key, choices.low, choices.high, log=choices.log):.6g}")
