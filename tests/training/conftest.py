"""Generated candles for the tests of training."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bot.candles import Candle


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
