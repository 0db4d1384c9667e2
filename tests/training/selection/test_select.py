"""What the default training makes of a market: an average of networks where there is timing, else a standing share."""

import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from bot.errors import HourhandError
from bot.market import Candle
from bot.model import NetworkPolicy
from training.data import Market
from training.lab import judged, regimes, shuffled
from training.learner import TrainingSettings
from training.learner.settings import parse
from training.selection import out_of_fold, select
from training.selection.processes import Tell, side_by_side
from training.selection.select import standing_share

Walk = Callable[..., list[Candle]]


def small(steps: int = 2 * 2 * 16 * 20, **sections: dict[str, object]) -> TrainingSettings:
    told: dict[str, dict[str, object]] = {
        "network": {"fc1": 8, "lstm": 6},
        "windows": {"count": 16, "length": 20},
        "blocks": {"count": 2, "embargo": 10},
        "ppo": {"steps": steps, "minibatches": 2, "passes": 2},
        "run": {"checkpoint_every": 1},
    }
    for name, keys in sections.items():
        told[name] = told.get(name, {}) | keys
    return parse(told)


def walks(walk: Walk) -> list[Market]:
    return [Market("a", "", 3600, walk(400)), Market("b", "", 3600, walk(300, seed=1)[50:])]


def test_without_evidence_it_stands_at_a_share_and_says_so(walk: Walk) -> None:
    chosen = select(walks(walk), small(), seed=3)
    assert not chosen.found
    manifest = json.loads(chosen.model.manifest)
    assert manifest["format"] == 2
    assert manifest["rule"].startswith("mix?")
    assert manifest["training"]["verdict"] == chosen.verdict
    assert chosen.verdict.startswith("no evidence of timing")
    assert "in coins, for a volatility of 35% a year" in chosen.verdict
    figures = manifest["training"]["out_of_fold"]
    assert figures["hours"] == 400 + 250 - 4  # each market in two blocks, the last bar of each without a next one
    assert figures["cost_a_year"] > 0


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(walk: Walk) -> None:
    alone, together = (select(walks(walk), small(), seed=3, threads=threads) for threads in (1, 2))
    assert alone.figures == together.figures
    assert alone.model.manifest == together.model.manifest


def test_a_member_goes_on_from_its_checkpoint(walk: Walk, tmp_path: Path) -> None:
    whole = select(walks(walk), small(), folder=tmp_path / "whole")
    progress: list[int] = []

    def stop(number: int, *_: object) -> None:
        progress.append(number)
        if len(progress) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select(walks(walk), small(), folder=tmp_path / "cut", report=stop)
    again = select(walks(walk), small(), folder=tmp_path / "cut", report=lambda number, *_: progress.append(number))
    assert progress == [0, 0, 1, 1, 1]  # what was done is kept, but for the iteration that was not over
    assert again.figures == whole.figures


@pytest.mark.parametrize(("deviation", "share"), [(0.01, 0.38), (0.002, 0.75), (0.09, 0.05)])
def test_the_share_is_a_choice_of_risk(walk: Walk, deviation: float, share: float) -> None:
    market = Market("a", "", 3600, walk(20_000, deviation=deviation))
    assert standing_share([market], small()) == pytest.approx(share, abs=0.01)
    if deviation == 0.01:
        assert standing_share([market], small(risk={"volatility": 0.2})) == pytest.approx(0.21, abs=0.01)


def _die(tell: Tell, number: int) -> int:
    tell(number)
    if number == 1:
        os._exit(1)
    return number


def test_a_process_that_dies_ends_the_training() -> None:
    told: list[tuple[int, int]] = []
    with pytest.raises(HourhandError, match="--resume"):
        side_by_side(_die, [(0,), (1,), (2,)], 2, lambda number, content: told.append((number, content)))
    assert (1, 1) in told


def _square(tell: Tell, number: int) -> int:
    if number == 4:
        raise ValueError("four")
    tell(number)
    return number**2


@pytest.mark.slow
def test_results_come_in_the_order_of_the_jobs() -> None:
    assert side_by_side(_square, [(n,) for n in (3, 2, 1)], 2, lambda *_: None) == [9, 4, 1]
    with pytest.raises(ValueError, match="four"):
        side_by_side(_square, [(4,), (1,)], 2, lambda *_: None)


QUICK = {
    "network": {"fc1": 16, "lstm": 16},
    "windows": {"count": 64, "length": 200},
    "blocks": {"count": 2, "embargo": 100},
    "ppo": {"steps": 0, "minibatches": 2, "passes": 4},
}


@pytest.mark.slow
def test_bounds_in_small(walk: Walk) -> None:
    """It finds a good part of what a regime's volume tells, and stands still where there is nothing to find.

    The full ones are in docs/training.md; here networks are small and learn for a tenth of the time.
    """
    settings = parse(QUICK | {"ppo": {**QUICK["ppo"], "steps": 900_000}})
    found = judged(regimes(14_000, 1), settings, 1, held_out=4000)
    assert found["evidence"]
    assert found["found"] > 0.4
    nothing = judged(shuffled(walk(22_000), 1), settings, 1, held_out=12_000)  # as many hours as the full one
    assert not nothing["evidence"]
    assert nothing["cost_a_year"] < 0.01
    assert abs(nothing["timing_a_year"]) < 0.05


def test_where_timing_is_found_the_model_is_all_members(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a judgement that lets everything pass, as a market that is found in takes longer."""
    judge = out_of_fold.evidence
    monkeypatch.setattr(
        import_module("training.selection.select"),
        "evidence",
        lambda *arguments: judge(*arguments)._replace(found=True, sentence="timing found: all"),
    )
    chosen = select(walks(walk), small(), seed=3)
    assert chosen.found
    assert isinstance(chosen.model.policy, NetworkPolicy)
    assert len(chosen.model.policy.networks) == 2
    assert np.isfinite(chosen.model.policy.start()).all()
    assert chosen.verdict.endswith("the model is the average of the 2 networks.")
