"""The environment that pays for timing."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bot.market import Candle
from bot.model import BUY, HOLD, SELL, get_features
from bot.trading import Rules
from training.data import numbers
from training.environment import TimingEnv, TrainingMarket, whole

Walk = Callable[..., list[Candle]]
FREE = Rules(commission=0.0)


def env(*markets: TrainingMarket, accounts: int = 4, length: int = 20, rules: Rules = FREE) -> TimingEnv:
    return TimingEnv(markets, accounts, length, rules=rules, features=get_features("slow"))


def actions(action: int, accounts: int) -> torch.Tensor:
    return torch.full((accounts,), action, dtype=torch.uint8)


def test_a_constant_share_earns_nothing_on_average(walk: Walk) -> None:
    """Over the very hours that the mean is of: none, all and (by going back to it each hour) any share."""
    played = env(whole(numbers(walk(400))), accounts=2, length=399)
    played.start(torch.zeros(2, dtype=torch.int64), torch.tensor([0.0, 1.0], dtype=torch.float64))
    rewards = torch.stack([played.act(actions(HOLD, 2))[0] for _ in range(399)])
    assert rewards.abs().max() > 0.001
    torch.testing.assert_close(rewards.sum(0), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)
    assert abs(float(played.moves()[:, 0].sum())) < 1e-12


def test_a_reward_is_share_times_surprise_less_the_cost(walk: Walk) -> None:
    candles = numbers(walk(300))
    played = env(whole(candles), accounts=3, rules=Rules(commission=0.002))
    played.start(torch.tensor([5, 5, 5]), torch.tensor([0.2, 0.2, 0.2], dtype=torch.float64))
    returns = candles[1:, 3] / candles[:-1, 3] - 1
    surprise = returns[5] - returns.mean()
    rewards, ruined = played.act(torch.tensor([HOLD, BUY, SELL], dtype=torch.uint8))
    bought = 0.2 + 0.998 * 0.4
    sold = 0.1
    expected = [
        0.2 * surprise,
        bought / (0.4 + bought) * surprise - 0.002 * 0.4,
        sold / (0.8 + 0.998 * 0.1 + sold) * surprise - 0.002 * 0.1,
    ]
    assert rewards.tolist() == pytest.approx(expected, rel=1e-12)
    assert not ruined.any()


def test_the_price_level_is_nowhere_to_be_seen(walk: Walk) -> None:
    candles = numbers(walk(300))
    scaled = candles * np.array([1024.0, 1024.0, 1024.0, 1024.0, 1.0])
    seen = []
    for market in (candles, scaled):
        played = env(whole(market))
        played.begin(torch.Generator().manual_seed(1))
        rewards = [played.act(actions(action, 4))[0] for action in (BUY, HOLD, SELL, BUY)]
        seen.append((torch.stack(rewards), played.observe(), played.profit))
    for one, other in zip(*seen, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_windows_lie_in_the_spans_of_all_markets(walk: Walk) -> None:
    spans = ((0, 40), (60, 100)), ((10, 300),)
    played = env(*(TrainingMarket(numbers(walk(300, seed)), told) for seed, told in enumerate(spans)), accounts=2000)
    played.begin(torch.Generator().manual_seed(3))
    first, last = played.index[0], played.index[-1]
    allowed = ((first >= 0) & (last < 40)) | ((first >= 60) & (last < 100)) | ((first >= 310) & (last < 600))
    assert allowed.all()
    assert set(first.tolist()) == {*range(20), *range(60, 80), *range(310, 580)}
    shares = played.exposure()
    assert 0 <= float(shares.min()) < 0.01
    assert 0.99 < float(shares.max()) <= 1
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.03)


def test_no_span_that_is_long_enough_is_an_error(walk: Walk) -> None:
    with pytest.raises(ValueError, match="20 steps"):
        env(TrainingMarket(numbers(walk(300)), ((0, 20),)))


def test_the_end_is_the_end(walk: Walk) -> None:
    played = env(whole(numbers(walk(300))), length=2)
    played.begin(torch.Generator().manual_seed(1))
    for _ in range(2):
        played.act(actions(HOLD, 4))
    with pytest.raises(RuntimeError, match="begin"):
        played.act(actions(HOLD, 4))
