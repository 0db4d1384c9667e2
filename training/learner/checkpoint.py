"""A training run as it is kept: one file that it continues from, and one that tells how it goes."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bot.errors import UsageError
from bot.whole import write_whole
from training.learner.ppo import Learner, Progress

CHECKPOINT: Final = "checkpoint.safetensors"
METRICS: Final = "metrics.csv"
_HEAD: Final = ("iteration", "steps", "seconds", "learning_rate")


class Reached(NamedTuple):
    """How far a run is: iterations, updates (Adam steps) and seconds so far, and the last 100 windows' profits."""

    iterations: int
    updates: int
    seconds: float
    profits: list[float]


START: Final = Reached(0, 0, 0.0, [])


def state_of(learner: Learner) -> dict[str, Tensor]:
    """Copies of a learner's weights and of what Adam remembers of each. Chance needs nothing kept: see `Learner`."""
    tensors: dict[str, Tensor] = {}
    for name, weight in learner.network.named_weights().items():
        tensors[f"weights/{name}"] = weight.detach().cpu().clone()
        for key, value in learner.optimizer.state.get(weight, {}).items():
            tensors[f"adam/{key}/{name}"] = value.detach().cpu().clone()
    return tensors


def restore(learner: Learner, tensors: Mapping[str, Tensor]) -> None:
    """Put a state back into a learner of the same settings."""
    for name, weight in learner.network.named_weights().items():
        with torch.no_grad():
            weight.copy_(tensors[f"weights/{name}"])
        for key, value in tensors.items():
            part, _, rest = key.partition("/")
            if part == "adam" and rest.partition("/")[2] == name:
                where = "cpu" if rest.startswith("step/") else weight.device
                learner.optimizer.state[weight][rest.partition("/")[0]] = value.to(where, copy=True)


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], recipe: Mapping[str, Any], reached: Reached) -> None:
    """Write a checkpoint whole or not at all. Raises OSError where that fails."""
    content = save(dict(tensors), {"recipe": json.dumps(recipe), "reached": json.dumps(reached)})
    write_whole(folder / CHECKPOINT, content)


def load_checkpoint(folder: Path, recipe: Mapping[str, Any]) -> tuple[dict[str, Tensor], Reached]:
    """The checkpoint in `folder`; nothing and START where there is none yet.

    Raises UsageError where it cannot be read, or was made by another recipe: it names what differs.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return {}, START
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        made_by, reached = json.loads(metadata["recipe"]), Reached(*json.loads(metadata["reached"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is not a checkpoint that can be continued: {error}") from error
    if differing := sorted(set(_flat(made_by).items()) ^ set(_flat(recipe).items())):
        names = sorted({name for name, _ in differing})
        raise UsageError(f"{path} was made with different {', '.join(names)}: use the same, or start elsewhere")
    return tensors, reached


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: json.dumps(value)}
    return flat


class Metrics:
    """The run's figures as a CSV file, one row an iteration; a run that continues keeps those before it."""

    def __init__(self, folder: Path, iterations: int) -> None:
        path = folder / METRICS
        rows = []
        if iterations and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [
                    row for row in list(csv.reader(file))[1:] if row and row[0].isdigit() and int(row[0]) <= iterations
                ]
        self._file = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow([*_HEAD, *Progress._fields])
        self._rows.writerows(rows)

    def write(self, reached: Reached, steps: int, learning_rate: float, progress: Progress) -> None:
        """Add a row, at once."""
        figures = [f"{figure:.6g}" for figure in (reached.seconds, learning_rate, *progress)]
        self._rows.writerow([reached.iterations, steps, *figures])
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
