"""A small ground for the lab: two markets of noise around a new year, a trainer that is done at once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bot.market import Candle
from training.data import Market, Origin, write_file
from training.lab import Where, folds_of_years, ground_of
from training.lab.plan import Task
from training.lab.store import read_result, write_result
from training.lab.walkforward import Ground
from training.lab.work import PackedMarket, run_task
from training.learner import TrainingSettings, parse

NEW_YEAR = 1_577_836_800  # 2020
HOUR = 3600
TINY = {
    "network": {"fc1": 8, "lstm": 8},
    "windows": {"count": 16, "length": 20},
    "blocks": {"count": 2, "embargo": 10},
    "ppo": {"steps": 1280},
}


def noise(days_before: int, days_after: int, seed: int, drift: float = 0.0) -> list[Candle]:
    """Hourly candles of noise, so many days before and after the new year of 2020."""
    hours = 24 * (days_before + days_after)
    chance = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(chance.normal(drift, 0.01, hours)))
    opens = np.concatenate([[100.0], closes[:-1]])
    volumes = chance.lognormal(3, 1, hours)
    start = NEW_YEAR - 24 * HOUR * days_before
    return [
        Candle(start + HOUR * n, o, max(o, c) * 1.001, min(o, c) * 0.999, c, v)
        for n, (o, c, v) in enumerate(zip(opens.tolist(), closes.tolist(), volumes.tolist(), strict=True))
    ]


@pytest.fixture(scope="session")
def two_markets() -> list[Market]:
    """Two markets of noise; the second has no candle until ten days later."""
    return [Market("AAA", "AAA", HOUR, noise(24, 5, 1)), Market("BBB", "BBB", HOUR, noise(14, 5, 2))]


@pytest.fixture(scope="session")
def tiny() -> TrainingSettings:
    """Settings of a training that is done in a moment."""
    return parse(TINY)


@pytest.fixture(scope="session")
def ground(two_markets: list[Market]) -> Ground:
    """One fold, two seeds."""
    return ground_of(two_markets, folds_of_years("2020", two_markets, 2), 2, 2)


@pytest.fixture
def here(tmp_path: Path) -> Where:
    """A folder of results, and this machine."""
    return Where(tmp_path / "lab", "", 2)


def run_here(tasks: Sequence[Task], markets: Sequence[PackedMarket], folder: Path, **_: object) -> None:
    """`run_tasks` in this process, without Ray."""
    for task in tasks:
        if read_result(folder, task) is None:
            write_result(folder, task, run_task(markets, task))


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks run in this process."""
    monkeypatch.setattr("training.lab.walkforward.run_tasks", run_here)


def write_markets(folder: Path, markets: list[Market]) -> None:
    """A CSV file for each market."""
    for market in markets:
        write_file(folder / f"{market.name}_USD.csv", market.candles, Origin())
