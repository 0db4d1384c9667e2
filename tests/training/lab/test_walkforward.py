"""A walk-forward without Ray: what is worked out, kept and said."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bot.errors import UsageError
from bot.model import load_model, save_model
from tests.training.lab.conftest import run_here
from training.data import Market
from training.evaluation import Course, chain_courses, course_statistics, pool
from training.lab import Where, keep_in_manifest, load_trained, run_walkforward
from training.lab.judge import Trial
from training.lab.plan import POLICY, Task
from training.lab.store import append_trials, read_result, read_trials, result_file, write_result
from training.lab.walkforward import Ground, carry_out, trials_of
from training.lab.work import pack, run_task, train_model, unpack
from training.learner import TrainingSettings, parse
from training.selection import select

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(scope="module")
def done(ground: Ground, tiny: TrainingSettings, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Where]:
    """A finished walk-forward and its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.lab.walkforward.run_tasks", run_here)
        where = Where(tmp_path_factory.mktemp("walk") / "lab")
        return run_walkforward(ground, tiny, where, "2026-01-01T00:00:00Z"), where


def test_markets_survive_the_journey(two_markets: list[Market]) -> None:
    assert unpack(pack(two_markets[0])) == two_markets[0]


def test_a_task_gives_the_same_result_again(ground: Ground, tiny: TrainingSettings) -> None:
    task = trials_of(ground, tiny)[0].tasks[0]
    packed = [pack(market) for market in ground.markets]
    one, other = run_task(packed, task), run_task(packed, task)
    assert one.model == other.model
    assert one.courses.keys() == {f"{name}@{bps}" for name in ("policy", "random") for bps in ("0", "7.5", "15")}
    for name, course in one.courses.items():
        np.testing.assert_array_equal(course.series, other.courses[name].series)


def test_training_sees_nothing_of_the_fold(ground: Ground, tiny: TrainingSettings) -> None:
    task = trials_of(ground, tiny)[0].tasks[0]
    packed = [pack(market) for market in ground.markets]
    later = [market.candles[:, 0] >= task.fold.trained_until for market in packed]
    shaken = []
    for market, changed in zip(packed, later, strict=True):
        candles = market.candles.copy()
        candles[changed, 1:5] *= 1.5
        shaken.append(market._replace(candles=candles))
    assert run_task(packed, task).model["model_id"] == run_task(shaken, task).model["model_id"]
    assert run_task(packed, task).model["training"]["last_candle"] < task.fold.trained_until


def test_every_figure_is_there(done: tuple[dict, Where]) -> None:
    result, where = done
    assert json.loads((where.folder / "lab.json").read_text()) == json.loads(json.dumps(result))
    assert result["trials"] == 2
    for name in ("pbo", "deflated_sharpe", "spa_p_value"):  # none where the seeds do not differ
        assert result[name] is None or 0 <= result[name] <= 1
    assert set(result["candidates"]) == {
        "policy", "random", "rule:hold", "rule:mix?share=0.5", "rule:trend?days=14", "ridge",
    }  # fmt: skip
    assert set(result["costs"]) == {"0", "7.5", "15"}
    pooled = result["pooled"]
    assert pooled == result["candidates"]["policy"]
    assert sum(pooled["timing_parts"].values()) == pytest.approx(pooled["timing_log_return"]["value"])
    assert pooled["timing_log_return"]["covers"] == ["hours", "draws"]
    assert pooled["bars"] == 5 * 24
    assert [fold["fold"] for fold in result["folds"]] == ["2020"]
    assert list(result["markets"]) == ["AAA", "BBB"]
    assert len(result["seeds_figures"]) == 2
    assert result["verdict"].startswith("no evidence of timing")
    dear, free = (result["costs"][bps]["rule:trend?days=14"]["timing"]["value"] for bps in ("15", "0"))
    assert dear < free


def test_the_page_says_it_all_and_needs_nothing(done: tuple[dict, Where]) -> None:
    result, where = done
    page = (where.folder / "lab.html").read_text()
    for words in ("No evidence of timing", "trend?days=14", "ridge regression", "0 bps", "AAA", "Hansen", "<svg"):
        assert words in page
    assert "<script" not in page
    assert "src=" not in page
    assert result["page"].endswith("lab.html")


def test_the_figures_are_kept_in_the_manifest_of_a_model_of_the_same_settings(
    done: tuple[dict, Where], tiny: TrainingSettings, two_markets: list[Market], tmp_path: Path
) -> None:
    result, _ = done
    trained = select(two_markets, tiny, recipe={"settings": msgspec.to_builtins(tiny)}).model
    save_model(trained, tmp_path / "model")
    keep_in_manifest(result, load_trained(tmp_path / "model", tiny), tmp_path / "model")
    kept = load_model(tmp_path / "model")
    assert kept.model_id == trained.model_id
    evaluation = json.loads(kept.manifest)["evaluation"]
    assert evaluation["policy"] == result["pooled"]["policy"]
    assert evaluation["walkforward"]["verdict"] == result["verdict"]
    other = parse({"ppo": {"steps": 2560}})
    with pytest.raises(UsageError, match="not trained with these settings"):
        load_trained(tmp_path / "model", other)


def test_the_same_command_runs_nothing_twice_and_counts_no_trial_twice(
    done: tuple[dict, Where], ground: Ground, tiny: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, where = done

    def run_tasks(tasks: list[Task], *_: object, **__: object) -> None:
        assert all(read_result(where.folder, task) is not None for task in tasks)

    monkeypatch.setattr("training.lab.walkforward.run_tasks", run_tasks)
    assert run_walkforward(ground, tiny, where, "2026-01-01T00:00:00Z") == result
    assert len(read_trials(where.folder)) == 2


def test_what_was_finished_before_a_stop_is_kept_and_counted(
    ground: Ground, tiny: TrainingSettings, here: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = trials_of(ground, tiny)

    def run_tasks(tasks: list[Task], markets: list, folder, **_: object) -> None:  # noqa: ANN001
        write_result(folder, tasks[0], run_task(markets, tasks[0]))
        raise KeyboardInterrupt

    monkeypatch.setattr("training.lab.walkforward.run_tasks", run_tasks)
    (here.folder / "tasks").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        carry_out([task for trial in trials for task in trial.tasks], trials, ground, here, "now", lambda *_: None)
    assert [line["seed"] for line in read_trials(here.folder)] == [0]


def test_a_trial_is_counted_once_and_for_good(here: Where) -> None:
    here.folder.mkdir()
    line = {"trial": "earlier", "timing_sharpe": 0.02}
    assert len(append_trials(here.folder, [line, {**line, "trial": "another", "timing_sharpe": -0.02}])) == 2
    assert len(append_trials(here.folder, [line])) == 2
    (here.folder / "trials.jsonl").write_text("nonsense\n")
    with pytest.raises(UsageError, match="no trial"):
        read_trials(here.folder)


def test_half_a_result_is_none(ground: Ground, tiny: TrainingSettings, here: Where) -> None:
    task = trials_of(ground, tiny)[0].tasks[0]
    (here.folder / "tasks").mkdir(parents=True)
    assert read_result(here.folder, task) is None
    for content in (b"", b"PK\x03\x04", b"nonsense"):
        result_file(here.folder, task).write_bytes(content)
        assert read_result(here.folder, task) is None


def test_a_training_that_cannot_be_says_so(two_markets: list[Market], tiny: TrainingSettings) -> None:
    short = [market._replace(candles=market.candles[:15]) for market in two_markets]
    with pytest.raises(UsageError):
        train_model(short, tiny, 0)


def test_pools_of_markets_and_chains_of_folds() -> None:
    """Two markets, one of them for half of the hours: the pool's log return is the sum of the hours' means."""
    series = np.zeros((4, 9, 1))
    series[:, 0, 0] = [np.nan, 0.1, 0.2, 0.3]
    one = Course(3600, np.arange(4) * 3600, series)
    other = Course(3600, np.arange(2, 4) * 3600, series[2:] * 2)
    both = pool([one, other])
    assert both.of("policy")[:, 0].tolist() == pytest.approx([0, 0.1, 0.3, 0.45])
    later = both._replace(hours=both.hours + 10 * 3600)
    told = course_statistics(chain_courses([both, later]))
    assert told["policy"]["log_return"] == pytest.approx(1.7)
    assert told["bars"] == 8


def test_a_trials_name_is_of_all_its_tasks(ground: Ground, tiny: TrainingSettings) -> None:
    trial = trials_of(ground, tiny)[0]
    assert isinstance(trial, Trial)
    assert trial.tasks[0].candidate == POLICY
    changed = trial._replace(tasks=(trial.tasks[0]._replace(runs=7),))
    assert changed.name != trial.name
