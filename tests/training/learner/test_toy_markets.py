"""Markets whose best policy is known: the trainer finds it."""

from functools import partial

import numpy as np
import pytest
import torch

from bot.model import BUY, HOLD, SELL, Array
from training.learner import Learner, TrainingSettings, article_windows, collect
from training.learner.rollout import RolloutBatch
from training.learner.settings import parse


def toy(steps: int, length: int, **sections: dict[str, object]) -> TrainingSettings:
    tables: dict[str, dict[str, object]] = {
        "network": {"features": "returns", "fc1": 16, "lstm": 16},
        "windows": {"count": 128, "length": length},
        "ppo": {
            "steps": steps,
            "passes": 3,
            "minibatches": 4,
            "learning_rate": 0.02,
            "gamma": 0.9,
            "entropy_coefficient": 0.003,
        },
        "account": {"initial_balance": 5000.0, "initial_stocks": 50.0, "trade_fraction": 1.0, "commission": 0.001},
    }
    for name, keys in sections.items():
        tables[name] |= keys
    return parse(tables)


def trained(candles: Array, settings: TrainingSettings) -> tuple[Learner, RolloutBatch]:
    """A learner at the end of its training, and 128 windows that it then plays."""
    torch.set_num_threads(1)
    learner = Learner(partial(article_windows, candles), settings, seed=1)
    for iteration in range(settings.iterations):
        learner.iterate(iteration, settings.iterations)
    return learner, collect(learner.env, learner.network, torch.Generator().manual_seed(5))


def bars(closes: Array, volumes: Array) -> Array:
    opens = np.concatenate([closes[:1], closes[:-1]])
    return np.stack([opens, np.maximum(opens, closes), np.minimum(opens, closes), closes, volumes], axis=1)


def test_buys_low_and_sells_high_where_the_price_alternates() -> None:
    closes = np.tile([100.0, 102.0], 200)
    learner, played = trained(bars(closes, np.full(400, 10.0)), toy(120_000, 40))
    low = learner.env.prices[:-1] == 100.0
    assert (played.actions[low] == BUY).float().mean() > 0.9
    assert (played.actions[~low] == SELL).float().mean() > 0.9


def test_does_nothing_where_prices_are_noise_and_trading_costs() -> None:
    chance = np.random.default_rng(3)
    closes = 100 * np.exp(np.cumsum(chance.normal(0, 0.005, 20_000)))
    settings = toy(250_000, 40, account={"commission": 0.01}, ppo={"entropy_coefficient": 0.0})
    _, played = trained(bars(closes, chance.lognormal(2, 1, 20_000)), settings)
    assert (played.actions == HOLD).float().mean() > 0.97


@pytest.mark.slow
def test_remembers_a_signal_of_twenty_candles_earlier() -> None:
    """A burst of volume at the start of 30 candles foretells the jump 20 candles later, its absence a fall."""
    chance = np.random.default_rng(4)
    up = chance.random(400) < 0.5
    moves, volumes = np.zeros((400, 30)), np.full((400, 30), 10.0)
    volumes[:, 0] = np.where(up, 200.0, 0.5)
    moves[:, 20] = np.where(up, 0.05, -0.05)
    moves -= moves.mean()
    closes = 100 * np.exp(np.cumsum(moves))
    learner, played = trained(bars(closes, volumes.ravel()), toy(500_000, 60))
    coins = played.exposures + learner.env.rules.initial_stocks
    bar = learner.env.index[:-1]
    jumping, steps = bar % 30 == 20, torch.arange(len(bar))[:, None]
    seen_it_coming = jumping & (steps > 20)
    rises = torch.tensor(up)[bar // 30]
    assert (coins[seen_it_coming & rises] > 0).float().mean() > 0.95
    assert (coins[seen_it_coming & ~rises] > 0).float().mean() < 0.05
