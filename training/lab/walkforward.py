"""`hourhand-train walkforward`: settings as they are, trained before each fold and tested on it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from bot.errors import UsageError
from bot.model import Model, attach_evaluation, load_model, manifest_of, replace_manifest
from training.data import Market
from training.lab.cluster import Tell, run_tasks
from training.lab.judge import Trial, finished, judge, record_trials
from training.lab.page import render_lab
from training.lab.plan import COSTS_BPS, POLICY, RIVALS, Fold, Task, candles_digest, settings_digest
from training.lab.store import open_folder, write_whole
from training.lab.work import pack
from training.learner import TrainingSettings

RESULT: Final = "lab.json"
PAGE: Final = "lab.html"


class Ground(NamedTuple):
    """What every trial of a walk-forward or a sweep is tried on, and how: folds in order of time, seeds from 0 on, runs
    of each model.
    """

    markets: Sequence[Market]
    candles_sha256: str
    folds: Sequence[Fold]
    seeds: int
    runs: int


class Where(NamedTuple):
    """The folder of results, and where tasks run: as in `run_tasks`."""

    folder: Path
    address: str = ""
    workers: int = 0


def ground_of(markets: Sequence[Market], folds: Sequence[Fold], seeds: int, runs: int) -> Ground:
    """The ground with the digest of its candles."""
    return Ground(markets, candles_digest(markets), folds, seeds, runs)


def trials_of(ground: Ground, settings: TrainingSettings, changes: Mapping[str, Any] | None = None) -> list[Trial]:
    """A trial for each seed, labelled with digits of the settings' digest."""
    plain = msgspec.to_builtins(settings)
    label, known = settings_digest(plain), changes or {}
    return [
        Trial(label, plain, known, seed, tuple(_task(ground, fold, POLICY, seed, plain) for fold in ground.folds))
        for seed in range(ground.seeds)
    ]


def rival_tasks(ground: Ground, settings: TrainingSettings) -> list[tuple[Task, ...]]:
    """The tasks of each rival, one a fold."""
    plain = msgspec.to_builtins(settings)
    relevant = {"account": plain["account"], "network": {"features": plain["network"]["features"]}}
    return [tuple(_task(ground, fold, rival, 0, relevant) for fold in ground.folds) for rival in RIVALS]


def _task(ground: Ground, fold: Fold, candidate: str, seed: int, settings: Mapping[str, Any]) -> Task:
    own = round(10_000 * settings["account"]["commission"], 6)
    costs = (own, *(bps for bps in COSTS_BPS if bps != own))
    return Task(fold, candidate, seed, settings, ground.runs, costs, ground.candles_sha256)


def run_walkforward(
    ground: Ground, settings: TrainingSettings, where: Where, at: str, tell: Tell = lambda *_: None
) -> dict[str, Any]:
    """Carry out what is not done yet, and judge it; `lab.json` and `lab.html` are written to the folder.

    Raises what the tasks raise, and UsageError where the folder cannot be written.
    """
    open_folder(where.folder)
    trials, rivals = trials_of(ground, settings), rival_tasks(ground, settings)
    tasks = [*(task for trial in trials for task in trial.tasks), *(task for rival in rivals for task in rival)]
    carry_out(tasks, trials, ground, where, at, tell)
    result = judged(where.folder, trials, trials, rivals, ground, at)
    return write_result_files(where.folder, result)


def load_trained(folder: Path, settings: TrainingSettings) -> Model:
    """The model in `folder`. Raises ModelError where there is none, UsageError where other settings made it."""
    model = load_model(folder)
    if manifest_of(model).training.get("settings") != msgspec.to_builtins(settings):
        raise UsageError(f"{folder} was not trained with these settings, so this walk-forward says nothing of it")
    return model


def keep_in_manifest(result: Mapping[str, Any], model: Model, folder: Path) -> None:
    """Make the result the evaluation in the manifest of the model, which lies in `folder`; its id stays.

    Raises ModelError where it cannot be written.
    """
    names = ("seeds", "trials", "pbo", "deflated_sharpe", "spa_p_value", "candles_sha256", "verdict", "folds")
    evaluation = {**result["pooled"], "walkforward": {name: result[name] for name in names}}
    replace_manifest(attach_evaluation(model, evaluation), folder)


def carry_out(
    tasks: Sequence[Task], trials: Sequence[Trial], ground: Ground, where: Where, at: str, tell: Tell
) -> None:
    """Run the tasks; whatever stops them, the trials that were finished are counted."""
    try:
        packed = [pack(market) for market in ground.markets]
        run_tasks(tasks, packed, where.folder, address=where.address, workers=where.workers, tell=tell)
    finally:
        record_trials(where.folder, trials, at)


def judged(
    folder: Path,
    chosen: Sequence[Trial],
    trials: Sequence[Trial],
    rivals: Sequence[Sequence[Task]],
    ground: Ground,
    at: str,
) -> dict[str, Any]:
    """The figures of `judge` with what they are of."""
    record = record_trials(folder, trials, at)
    told = {
        "at": at,
        "markets_tested": [market.name for market in ground.markets],
        "candles_sha256": ground.candles_sha256,
        "seeds": ground.seeds,
        "settings": chosen[0].settings,
        "setting": chosen[0].label,
    }
    return {**told, **judge(folder, chosen, finished(folder, trials), rivals, record)}


def write_result_files(folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Write `lab.json` and the page; the result with where the page is."""
    full = {**result, "page": str(folder / PAGE)}
    write_whole(folder / RESULT, (json.dumps(full, indent=1) + "\n").encode())
    write_whole(folder / PAGE, render_lab(full).encode())
    return full
