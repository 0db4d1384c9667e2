"""Generated candles for the tests of training."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bot.market import Candle
from bot.model import Model, NetworkSizes, NetworkSpec, build_model, get_features


def random_walk(bars: int, seed: int = 0, deviation: float = 0.01) -> list[Candle]:
    """Hourly candles of a random walk from 100 on; every seventh bar is without volume."""
    chance = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(chance.normal(0, deviation, bars))).round(6)
    opens = np.concatenate([[100.0], closes[:-1]])
    volumes = chance.lognormal(3, 1, bars) * (np.arange(bars) % 7 != 3)
    return [
        Candle(1_500_001_200 + 3600 * i, o, max(o, c) * 1.001, min(o, c) * 0.999, c, v)
        for i, (o, c, v) in enumerate(zip(opens.tolist(), closes.tolist(), volumes.tolist(), strict=True))
    ]


@pytest.fixture(scope="session")
def walk() -> Callable[..., list[Candle]]:
    """`walk(bars, seed=0, deviation=0.01)`: candles of a random walk."""
    return random_walk


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small networks on a busy machine: more threads wait for each other longer than they work."""
    torch.set_num_threads(1)


def random_model(
    seed: int = 0, features: str = "article", account_at: str = "input", scale: float = 0.5, **told: Any
) -> Model:
    """A small model with random weights, which trades often."""
    seen = get_features(features)
    sizes = NetworkSizes(len(seen.market_names), len(seen.account_names), 8, 6, account_at)
    chance = np.random.default_rng(seed)
    weights = {name: chance.normal(0, scale, shape) for name, shape in sizes.shapes().items()}
    return build_model(weights, NetworkSpec(8, 6, account_at), seen, **told)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Model]:
    """`make_model(seed=0, features="article", account_at="input", scale=0.5, training={})`: a random model."""
    return random_model
