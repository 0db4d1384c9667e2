"""From the results of tasks to figures and a verdict: `lab.json`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bot.errors import HourhandError
from bot.model import Array
from bot.report import bars_a_year, pooled_interval
from training.evaluation import (
    Checks,
    Course,
    chain_courses,
    course_statistics,
    deflated_sharpe_of,
    overfitting_probability,
    sharpe_ratios,
    stack_draws,
    superior_predictive_ability,
    timing_evidence,
)
from training.lab.plan import DAY, POLICY, Fold, Task, settings_digest
from training.lab.store import append_trials, read_result
from training.lab.work import TaskResult


class Trial(NamedTuple):
    """One setting with one seed over all folds: its tasks, one a fold in order of time."""

    label: str
    settings: Mapping[str, Any]
    changes: Mapping[str, Any]
    seed: int
    tasks: tuple[Task, ...]

    @property
    def name(self) -> str:
        """What tells the trial from every other."""
        digest = settings_digest({"tasks": [task.name for task in self.tasks]})
        return f"{self.label}-{self.seed}-{digest}"


def finished(folder: Path, trials: Sequence[Trial]) -> list[Trial]:
    """Those whose every task has a result."""
    return [trial for trial in trials if all(read_result(folder, task) is not None for task in trial.tasks)]


def record_trials(folder: Path, trials: Sequence[Trial], at: str) -> list[dict[str, Any]]:
    """Add what is finished to the folder's trials; all trials there ever were."""
    lines = []
    for trial in finished(folder, trials):
        course = course_of_tasks(folder, trial.tasks)[trial_key(trial)]
        timing = course.timing.mean(1)
        lines.append(
            {
                "trial": trial.name,
                "at": at,
                "setting": trial.label,
                "changes": dict(trial.changes),
                "seed": trial.seed,
                "folds": [task.fold.name for task in trial.tasks],
                "bars": len(timing),
                "log_return": float(course.of("policy").sum()),
                "timing": float(timing.sum()),
                "timing_sharpe": float(sharpe_ratios(timing[:, None])[0]),
            }
        )
    return append_trials(folder, lines)


def trial_key(trial: Trial) -> str:
    """The name of a trial's course at its first cost."""
    return f"{POLICY}@{trial.tasks[0].costs_bps[0]:g}"


def results_of(folder: Path, tasks: Sequence[Task]) -> list[TaskResult]:
    """The results of tasks. Raises HourhandError where one is not there."""
    results = [read_result(folder, task) for task in tasks]
    missing = [task.name for task, result in zip(tasks, results, strict=True) if result is None]
    if missing:
        raise HourhandError(f"the result of {missing[0]} is not in {folder}: run the same command again")
    return [result for result in results if result]


def course_of_tasks(folder: Path, tasks: Sequence[Task]) -> dict[str, Course]:
    """The courses of one candidate over its folds, one after the other, by `CANDIDATE@BPS`."""
    results = results_of(folder, tasks)
    return {name: chain_courses([result.courses[name] for result in results]) for name in results[0].courses}


def judge(
    folder: Path, chosen: Sequence[Trial], trials: Sequence[Trial], rivals: Sequence[Sequence[Task]],
    record: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """Every figure of the chosen setting (its trials, one a seed), and the verdict.

    `trials` are all that were finished on the same folds, for the corrections that compare them; `rivals` the tasks of
    each rival; `record` the lines of all trials there ever were.
    """
    courses = [course_of_tasks(folder, trial.tasks) for trial in chosen]
    candidates = {name: stack_draws([course[name] for course in courses]) for name in courses[0]}
    for tasks in rivals:
        candidates |= course_of_tasks(folder, tasks)
    own = trial_key(chosen[0])
    level = own.partition("@")[2]
    policy = candidates[own]
    timings = timing_columns(folder, trials)
    gains = np.stack([timings[label].mean(1) for label in timings], axis=1)
    columns = gains if gains.shape[1] > 1 else next(iter(timings.values()))
    sharpes = [float(line["timing_sharpe"]) for line in record]
    baselines = {
        name.partition("@")[0]: course.of("policy").mean(1)
        for name, course in candidates.items()
        if name.endswith(f"@{level}") and not name.startswith(f"{POLICY}@")
    }
    every = np.stack([policy.of("policy")[:, place] for place in range(policy.series.shape[2])], axis=1)
    spa = {"constant_mix": superior_predictive_ability(np.zeros(len(columns)), columns)}
    spa |= {name: superior_predictive_ability(baseline, every) for name, baseline in baselines.items()}
    checks = Checks(
        overfitting_probability(columns),
        deflated_sharpe_of(policy.timing.mean(1), sharpes),
        spa["constant_mix"],
    )
    year = bars_a_year(policy.bar)
    evidence = timing_evidence(policy.timing[:, None], len(record), checks, bars_a_year=year)
    return {
        "trials": len(record),
        "pbo": checks.pbo,
        "deflated_sharpe": checks.deflated_sharpe,
        "spa_p_value": checks.spa_p_value,
        "spa": spa,
        "p_value": evidence.p_value,
        "found": evidence.found,
        "pooled": course_statistics(policy),
        "folds": fold_figures(policy, [task.fold for task in chosen[0].tasks]),
        "seeds_figures": [_brief(stack_draws([course[own]])) for course in courses],
        "candidates": {
            name.partition("@")[0]: course_statistics(course)
            for name, course in candidates.items()
            if name.endswith(f"@{level}")
        },
        "costs": _costs(candidates),
        "markets": _markets(folder, chosen),
        "curves": _curves(candidates, level),
        "verdict": evidence.sentence,
    }


def timing_columns(folder: Path, trials: Sequence[Trial]) -> dict[str, Array]:
    """The timing of each setting, hour by hour, (hours, seeds)."""
    columns: dict[str, list[Array]] = {}
    for trial in trials:
        columns.setdefault(trial.label, []).append(course_of_tasks(folder, trial.tasks)[trial_key(trial)].timing)
    return {label: np.concatenate(each, axis=1) for label, each in columns.items()}


def fold_figures(course: Course, folds: Sequence[Fold]) -> list[dict[str, Any]]:
    """The policy in each fold."""
    figures = []
    for fold in folds:
        inside = (course.hours >= fold.start) & (course.hours < fold.end)
        part = course._replace(hours=course.hours[inside], series=course.series[inside])
        figures.append({"fold": fold.name, **course_statistics(part)})
    return figures


def _brief(course: Course) -> dict[str, float]:
    return {
        "log_return": float(course.of("policy").sum(0).mean()),
        "timing": float(course.timing.sum(0).mean()),
        "exposure": float(course.of("exposure").mean()),
        "turnover": float(course.of("turnover").sum(0).mean()),
    }


def _costs(candidates: Mapping[str, Course]) -> dict[str, dict[str, Any]]:
    """What every candidate makes at each cost, by basis points."""
    table: dict[str, dict[str, Any]] = {}
    for name, course in candidates.items():
        candidate, _, bps = name.partition("@")
        timing = pooled_interval(course.timing[:, None]).figures()
        table.setdefault(bps, {})[candidate] = {**_brief(course), "timing": timing}
    return {bps: table[bps] for bps in sorted(table, key=float)}


def _curves(candidates: Mapping[str, Course], level: str) -> dict[str, list[float]]:
    """Log returns since the start at the last hour of each day, `bar_times` of those hours, by candidate: means of the
    draws; `hold` and `constant_mix` are the policy's.
    """
    policy = candidates[f"{POLICY}@{level}"]
    days = np.flatnonzero(np.diff(policy.hours // DAY, append=-1))
    curves: dict[str, list[float]] = {"bar_times": policy.hours[days].tolist()}
    shown = {name: policy.of(name) for name in ("hold", "constant_mix")}
    shown |= {name: course.of("policy") for name, course in candidates.items() if name.endswith(f"@{level}")}
    for name, returns in shown.items():
        curves.setdefault(name.partition("@")[0], np.cumsum(returns.mean(1))[days].round(6).tolist())
    return curves


def _markets(folder: Path, chosen: Sequence[Trial]) -> dict[str, dict[str, float]]:
    """What the policy makes in each market over all folds: totals, mean exposure, deepest drawdown; means of seeds."""
    found: dict[str, list[dict[str, float]]] = {}
    for trial in chosen:
        for result in results_of(folder, trial.tasks):
            for name, figures in result.markets.items():
                found.setdefault(name, []).append(figures)
    table = {}
    for name, each in sorted(found.items()):
        bars = sum(one["bars"] for one in each)
        totals = {
            key: sum(one[key] for one in each) / len(chosen)
            for key in ("log_return", "hold_log_return", "timing_log_return", "turnover", "cost")
        }
        table[name] = {
            "bars": bars / len(chosen),
            **totals,
            "exposure": sum(one["exposure"] * one["bars"] for one in each) / bars,
            "max_drawdown": max(one["max_drawdown"] for one in each),
        }
    return table
