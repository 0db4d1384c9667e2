"""`hourhand-train sweep`: settings from a space, each judged by walk-forward inside of the candles that are given."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from bot.errors import UsageError
from training.lab.cluster import Tell
from training.lab.judge import Trial, timing_columns
from training.lab.space import Changes, Proposals, Space, changed, grid, random_draws, settings_toml
from training.lab.store import open_folder, write_whole
from training.lab.walkforward import Ground, Where, carry_out, judged, rival_tasks, trials_of, write_result_files
from training.learner import TrainingSettings

BEST: Final = "best.toml"


class Search(NamedTuple):
    """How a space is searched: `method` is grid, random or optuna; `trials` settings of the latter two; `seed` of their
    draws.
    """

    space: Space
    method: str
    trials: int
    seed: int


def run_sweep(
    ground: Ground, settings: TrainingSettings, search: Search, where: Where, at: str, tell: Tell = lambda *_: None
) -> dict[str, Any]:
    """Try settings, judge the best by all that were tried, and write `lab.json`, `lab.html` and `best.toml`.

    A setting's score is its timing over all folds, the mean of its seeds. Raises what the tasks raise, and UsageError
    where the space does not fit the settings or the folder cannot be written.
    """
    open_folder(where.folder)
    rivals = rival_tasks(ground, settings)
    tried: dict[str, list[Trial]] = {}
    scores: dict[str, float] = {}

    def attempt(batch: Sequence[Changes]) -> list[float]:
        trials = [trials_of(ground, changed(settings, changes), changes=changes) for changes in batch]
        every = [trial for each in trials for trial in each]
        carry_out([task for trial in every for task in trial.tasks], every, ground, where, at, tell)
        for each in trials:
            tried[each[0].label] = each
            timing = timing_columns(where.folder, each)[each[0].label]
            scores[each[0].label] = float(timing.sum(0).mean())
        return [scores[each[0].label] for each in trials]

    _search(search, attempt)
    every = [trial for each in tried.values() for trial in each]
    carry_out([task for rival in rivals for task in rival], every, ground, where, at, tell)
    ranked = sorted(scores, key=lambda label: (-scores[label], label))
    best = tried[ranked[0]]
    result = judged(where.folder, best, every, rivals, ground, at)
    table = [{"setting": label, "changes": dict(tried[label][0].changes), "timing": scores[label]} for label in ranked]
    write_whole(where.folder / BEST, settings_toml(best[0].settings).encode())
    return write_result_files(where.folder, {**result, "changes": dict(best[0].changes), "tried": table})


def _search(search: Search, attempt: Callable[[Sequence[Changes]], list[float]]) -> None:
    if search.method == "optuna":
        proposals = Proposals(search.space, search.trials, search.seed)
        for batch in proposals.batches():
            proposals.score(attempt(batch))
    elif search.method == "random":
        attempt(random_draws(search.space, search.trials, search.seed))
    elif search.method == "grid":
        attempt(grid(search.space))
    else:
        raise UsageError(f"there is no method {search.method!r}")
