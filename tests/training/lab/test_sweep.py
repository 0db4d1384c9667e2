"""Spaces of settings, and the sweep that tries them."""

import json
from pathlib import Path

import pytest

from bot.errors import UsageError
from training.data import Market
from training.lab import Search, Where, ground_of, inner_folds, read_space, run_sweep
from training.lab.space import Proposals, Range, changed, grid, random_draws
from training.learner import TrainingSettings, load_training_settings

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
SPACE = """
[ppo]
learning_rate = {low = 0.001, high = 0.1, log = true}
passes = {low = 1, high = 6}
[network]
lstm = [4, 8]
"""


def space_of(folder: Path, text: str) -> Path:
    file = folder / "space.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_space_is_lists_and_ranges(tmp_path: Path) -> None:
    assert read_space(space_of(tmp_path, SPACE)) == {
        "network.lstm": [4, 8],
        "ppo.learning_rate": Range(0.001, 0.1, log=True),
        "ppo.passes": Range(1, 6, log=False),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no choice"),
        ("gamma = [1]", "is not a section"),
        ("[ppo]\ngamma = 0.9", "ppo.gamma is a list of choices"),
        ("[ppo]\ngamma = []", "ppo.gamma is a list of choices"),
        ("[ppo]\ngamma = {low = 1, high = 0}", "ppo.gamma is a list of choices"),
        ("[ppo]\ngamma = {low = 0, high = 1, log = true}", "ppo.gamma is a list of choices"),
        ("[ppo\n", "TOML"),
    ],
)
def test_what_is_no_space_is_said_by_its_key(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_space(space_of(tmp_path, text))


def test_a_grid_is_every_combination_once() -> None:
    assert grid({"a.x": [1, 2], "a.y": ["u", "v"]}) == [
        {"a.x": 1, "a.y": "u"}, {"a.x": 1, "a.y": "v"}, {"a.x": 2, "a.y": "u"}, {"a.x": 2, "a.y": "v"},
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"a\.z is a range"):
        grid({"a.z": Range(0, 1, log=False)})
    with pytest.raises(UsageError, match="combinations"):
        grid({f"a.{n}": [1, 2] for n in range(20)})


def test_random_draws_stay_inside_and_are_the_same_for_a_seed() -> None:
    space = {"a.x": Range(0.001, 0.1, log=True), "a.n": Range(1, 3, log=False), "a.c": ["u", "v"]}
    draws = random_draws(space, 30, 7)
    assert draws == random_draws(space, 30, 7)
    assert draws != random_draws(space, 30, 8)
    assert all(0.001 <= draw["a.x"] <= 0.1 for draw in draws)
    assert {draw["a.n"] for draw in draws} == {1, 2, 3}
    assert sum(draw["a.x"] < 0.01 for draw in draws) == pytest.approx(15, abs=8)
    assert len(random_draws({"a.c": ["u", "v"]}, 30, 7)) == 2  # there are no more


def test_optuna_proposes_the_same_for_the_same_scores() -> None:
    pytest.importorskip("optuna")
    space = {"a.x": Range(0.0, 1.0, log=False), "a.c": ["u", "v"]}

    def proposed() -> list[dict]:
        proposals, found = Proposals(space, 14, 3), []
        for batch in proposals.batches():
            found += batch
            proposals.score([-((one["a.x"] - 0.3) ** 2) for one in batch])
        return found

    found = proposed()
    assert found == proposed()
    assert len(found) == 14
    assert all(0 <= one["a.x"] <= 1 and one["a.c"] in "uv" for one in found)


def test_settings_are_changed_by_key_and_checked(tiny: TrainingSettings) -> None:
    assert changed(tiny, {"ppo.gamma": 0.5}).ppo.gamma == 0.5
    assert changed(tiny, {"ppo.gamma": 0.5}).network == tiny.network
    with pytest.raises(UsageError, match="gamma"):
        changed(tiny, {"ppo.gamma": 5.0})
    with pytest.raises(UsageError, match="nonsense"):
        changed(tiny, {"ppo.nonsense": 1})


@pytest.mark.slow
@pytest.mark.usefixtures("without_ray")
def test_a_sweep_judges_its_best_by_all_that_it_tried(
    two_markets: list[Market], tiny: TrainingSettings, here: Where
) -> None:
    ground = ground_of(two_markets[1:], inner_folds(two_markets[1:], 2, 1), 1, 1)
    result = run_sweep(ground, tiny, Search({"ppo.learning_rate": [0.001, 0.1]}, "grid", 0, 0), here, "now")
    assert result["trials"] == 2
    assert [fold["fold"] for fold in result["folds"]] == ["part1", "part2"]
    assert [one["changes"]["ppo.learning_rate"] for one in result["tried"]] in ([0.001, 0.1], [0.1, 0.001])
    assert result["tried"][0]["timing"] >= result["tried"][1]["timing"]
    assert result["tried"][0]["changes"] == result["changes"]
    assert result["tried"][0]["timing"] == pytest.approx(result["pooled"]["timing_log_return"]["value"])
    best = load_training_settings(here.folder / "best.toml")
    assert best.ppo.learning_rate == result["changes"]["ppo.learning_rate"]
    assert best.windows == tiny.windows
    assert json.loads((here.folder / "lab.json").read_text())["verdict"] == result["verdict"]
    assert "what it changes" in (here.folder / "lab.html").read_text()
