"""Folds and tasks: what is tested when, and what tells one task from another."""

import pytest

from bot.errors import UsageError
from training.data import Market
from training.lab.plan import DAY, Fold, Task, folds_of_years, inner_folds
from training.lab.walkforward import Ground, rival_tasks, trials_of
from training.learner import TrainingSettings, parse

NEW_YEAR = 1_577_836_800


def test_a_year_is_tested_after_what_is_before_it_less_the_embargo(two_markets: list[Market]) -> None:
    assert folds_of_years("2020", two_markets, 3) == [Fold("2020", NEW_YEAR - 3 * DAY, NEW_YEAR, NEW_YEAR + 366 * DAY)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2020,x", "list of years"),
        ("", "list of years"),
        ("2019", "no candles before fold 2019"),
        ("2021", "no candles in fold 2021"),
    ],
)
def test_folds_that_cannot_be(two_markets: list[Market], text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        folds_of_years(text, two_markets, 1)


def test_inner_folds_cover_the_second_half_and_train_on_what_is_before(two_markets: list[Market]) -> None:
    folds = inner_folds(two_markets, 3, 2)
    first, last = two_markets[0].candles[0].bar_time, two_markets[0].candles[-1].bar_time + 3600
    assert folds[0].start == pytest.approx((first + last) / 2, abs=3600)
    assert folds[-1].end == last
    assert [fold.end for fold in folds[:-1]] == [fold.start for fold in folds[1:]]
    assert all(fold.trained_until == fold.start - 2 * DAY for fold in folds)
    assert all(fold.start % 3600 == 0 for fold in folds)


def test_a_trial_is_a_setting_with_a_seed_and_a_task_is_one_fold_of_it(ground: Ground, tiny: TrainingSettings) -> None:
    trials = trials_of(ground, tiny)
    assert [trial.seed for trial in trials] == [0, 1]
    assert [len(trial.tasks) for trial in trials] == [1, 1]
    assert trials[0].tasks[0].costs_bps == (7.5, 0.0, 15.0)
    rivals = rival_tasks(ground, tiny)
    assert [tasks[0].candidate for tasks in rivals] == [
        "rule:hold",
        "rule:mix?share=0.5",
        "rule:trend?days=14",
        "ridge",
    ]


def test_whatever_may_change_a_result_changes_the_tasks_name(ground: Ground, tiny: TrainingSettings) -> None:
    task = trials_of(ground, tiny)[0].tasks[0]
    other = trials_of(ground, parse({"ppo": {"gamma": 0.9}}))[0].tasks[0]
    names = {
        task.name,
        other.name,
        *(
            task._replace(**change).name
            for change in (
                {"seed": 9},
                {"runs": 3},
                {"costs_bps": (1.0,)},
                {"candles_sha256": "other"},
                {"fold": task.fold._replace(trained_until=1)},
                {"candidate": "ridge"},
            )
        ),
    }
    assert len(names) == 8
    assert Task(*task).name == task.name


def test_rivals_do_not_depend_on_what_is_trained(ground: Ground, tiny: TrainingSettings) -> None:
    mine, theirs = rival_tasks(ground, tiny), rival_tasks(ground, parse({"ppo": {"gamma": 0.9}}))
    assert mine == theirs
