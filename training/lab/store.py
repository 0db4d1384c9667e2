"""The folder of a walk-forward or a sweep: a file for each finished task, and a line for each trial."""

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from bot import whole
from bot.errors import UsageError
from training.evaluation import Course
from training.lab.plan import Task
from training.lab.work import TaskResult

TRIALS: Final = "trials.jsonl"
_TASKS: Final = "tasks"


def open_folder(folder: Path) -> Path:
    """Make the folder where it is not there. Raises UsageError where it cannot be written to."""
    try:
        (folder / _TASKS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error}") from error
    return folder


def result_file(folder: Path, task: Task) -> Path:
    """Where a task's result is kept."""
    return folder / _TASKS / f"{task.name}.npz"


def write_result(folder: Path, task: Task, result: TaskResult) -> None:
    """Keep a result, whole or not at all."""
    arrays: dict[str, Any] = {}
    for name, course in result.courses.items():
        arrays[f"{name}/hours"], arrays[f"{name}/series"] = course.hours, course.series
    bars = {name: course.bar for name, course in result.courses.items()}
    arrays["words"] = np.array(json.dumps({"bars": bars, "markets": result.markets, "model": result.model}))
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_whole(result_file(folder, task), content.getvalue())


def read_result(folder: Path, task: Task) -> TaskResult | None:
    """A task's result, None where there is none that can be read."""
    try:
        content = io.BytesIO(result_file(folder, task).read_bytes())
        with np.load(content, allow_pickle=False) as arrays:
            words = json.loads(str(arrays["words"]))
            courses = {
                name: Course(bar, arrays[f"{name}/hours"], arrays[f"{name}/series"])
                for name, bar in words["bars"].items()
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return TaskResult(courses, words["markets"], words["model"])


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises UsageError where that fails."""
    try:
        whole.write_whole(path, content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from error


def read_trials(folder: Path) -> list[dict[str, Any]]:
    """Every trial there ever was in the folder, oldest first. Raises UsageError where a line is not one."""
    path = folder / TRIALS
    if not path.exists():
        return []
    try:
        trials = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        for trial in trials:
            trial["trial"], trial["timing_sharpe"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} holds a line that is no trial ({error}): repair it, because it counts the trials"
        ) from error
    return trials


def append_trials(folder: Path, trials: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add the trials that are not there yet, each a line; all of them, oldest first."""
    known = {trial["trial"] for trial in read_trials(folder)}
    new = [trial for trial in trials if trial["trial"] not in known]
    try:
        with (folder / TRIALS).open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(trial)}\n" for trial in new)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(f"{folder / TRIALS} cannot be written: {error}") from error
    return read_trials(folder)
