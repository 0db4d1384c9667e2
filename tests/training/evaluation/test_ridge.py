"""The ridge regression as a rival."""

import numpy as np
import pytest

from bot.market import Candle
from bot.model import BUY, HOLD, SELL, get_features
from bot.trading import Rules
from training.data import numbers
from training.evaluation import fit_ridge, planned_runs, span_of
from training.evaluation.ridge import HORIZON


def foretold(bars: int, seed: int, size: float) -> list[Candle]:
    """A market whose volume tells the drift of the next day: many coins, and it rises by `size` a bar."""
    chance = np.random.default_rng(seed)
    side = np.repeat(chance.choice([-1.0, 1.0], bars // 48 + 1), 48)[:bars]
    closes = 100 * np.exp(np.cumsum(size * side + chance.normal(0, 0.002, bars)))
    opens = np.concatenate([[100.0], closes[:-1]])
    heights = np.where(side > 0, 1.02, 1.0001)  # a bar's high tells the side
    return [
        Candle(3600 * n, o, max(o, c) * h, min(o, c) * 0.9999, c, 5.0)
        for n, (o, c, h) in enumerate(zip(opens.tolist(), closes.tolist(), heights.tolist(), strict=True))
    ]


def test_it_learns_what_is_there_to_learn() -> None:
    features = get_features("returns")
    ridge = fit_ridge(features, [foretold(4000, 1, 0.002), foretold(2000, 2, 0.002)])
    candles = foretold(2000, 3, 0.002)
    closes = np.log(numbers(candles)[:, 3])
    told = ridge.expected(candles)[:-HORIZON]
    assert np.corrcoef(told, closes[HORIZON:] - closes[:-HORIZON])[0, 1] > 0.5
    rules = Rules(5000.0, 50.0)
    runs = planned_runs(span_of(candles, None, None, 3600), rules, ridge.actions(candles, rules)[:, None])
    assert np.log(runs.values[-1, 0] / runs.values[0, 0]) > 0.5 * (closes[-1] - closes[0]) + 0.3


def test_on_noise_it_stays_at_its_mean() -> None:
    ridge = fit_ridge(get_features("returns"), [foretold(4000, 4, 0.0)])
    assert np.abs(ridge.expected(foretold(500, 5, 0.0)) - ridge.constant).max() < 0.02


def test_it_trades_only_for_more_than_a_trade_costs() -> None:
    ridge = fit_ridge(get_features("returns"), [foretold(4000, 1, 0.002)])
    candles = foretold(500, 3, 0.002)
    told = ridge.expected(candles)
    actions = ridge.actions(candles, Rules(commission=0.02))
    assert set(actions[told > 0.02]) <= {BUY}
    assert set(actions[told < -0.02]) <= {SELL}
    assert set(actions[np.abs(told) <= 0.02]) <= {HOLD}


def test_short_runs_are_left_out() -> None:
    whole = foretold(1000, 1, 0.001)
    features = get_features("returns")
    one, other = fit_ridge(features, [whole, whole[:10]]), fit_ridge(features, [whole])
    np.testing.assert_array_equal(one.weights, other.weights)
    with pytest.raises(ValueError, match="more than 24 candles"):
        fit_ridge(features, [whole[:24]])
