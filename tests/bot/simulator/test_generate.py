"""Generated candles: possible ones, the same for a seed, and much like real ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.market import Candle, find_gaps
from bot.market.candles import validate_candles
from bot.simulator import generate_candles
from bot.simulator.generate import START

HOUR = 3600


def columns(candles: list[Candle]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns of the closes, their absolute values, and logarithms of the volumes where there are any."""
    table = np.array([candle[:6] for candle in candles])
    returns = np.diff(np.log(table[:, 4]))
    return returns, np.abs(returns), np.log(table[table[:, 5] > 0, 5])


def autocorrelation(series: np.ndarray, lag: int) -> float:
    return float(np.corrcoef(series[:-lag], series[lag:])[0, 1])


@settings(max_examples=60, deadline=None)
@given(
    bars=st.integers(1, 200),
    seed=st.integers(0, 2**63),
    bar=st.sampled_from([60, HOUR, 86400]),
    price=st.floats(1e-8, 1e9),
    rate=st.floats(0, 1),
)
def test_every_candle_is_possible_and_in_its_place(bars: int, seed: int, bar: int, price: float, rate: float) -> None:
    candles = generate_candles(bars, seed, bar=bar, price=price, holes=rate, quiet=rate)
    assert candles == validate_candles(candles, bar)
    assert candles[-1].bar_time == START + (bars - 1) * bar
    assert candles[0].bar_time == START
    assert len(candles) + sum(number for _, number in find_gaps(candles, bar)) == bars
    assert candles == generate_candles(bars, seed, bar=bar, price=price, holes=rate, quiet=rate)


def test_another_seed_gives_other_candles() -> None:
    assert generate_candles(10, 1) != generate_candles(10, 2)


def test_an_hour_without_trades_is_flat_and_without_volume() -> None:
    candles = generate_candles(3000, 5, quiet=0.1, holes=0)
    dead = [at for at, candle in enumerate(candles) if candle.volume == 0]
    assert 200 < len(dead) < 400
    for at in dead[1:]:
        assert set(candles[at][1:5]) == {candles[at - 1].close}
    assert all(candle.volume > 0 for candle in generate_candles(3000, 5, quiet=0))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_market_is_like_a_real_one(seed: int) -> None:
    candles = generate_candles(30_000, seed)
    returns, moves, volumes = columns(candles)
    assert 0.007 < returns.std() < 0.0105  # BTC/USD: 0.0088
    assert ((returns - returns.mean()) ** 4).mean() / returns.var() ** 2 > 10  # fat tails: 3 for a normal one
    assert abs(autocorrelation(returns, 1)) < 0.05
    assert 0.1 < autocorrelation(moves, 1) < 0.4  # volatility clusters
    assert autocorrelation(moves, 24) > 0.05
    assert 0.9 < volumes.std() < 1.6
    assert autocorrelation(volumes, 24) > 0.3
    traded = np.array([candle.volume for candle in candles[1:]]) > 0
    assert np.corrcoef(np.log([candle.volume for candle in candles[1:] if candle.volume]), moves[traded])[0, 1] > 0.25
    assert 10 < sum(candle.volume == 0 for candle in candles) < 80


def test_the_real_market_has_the_same_marks(real_candles: list[Candle]) -> None:
    (real, real_moves, real_volumes), (made, made_moves, made_volumes) = map(
        columns, (real_candles, generate_candles(len(real_candles), 0))
    )
    assert made.std() == pytest.approx(real.std(), rel=0.25)
    assert made_moves.mean() == pytest.approx(real_moves.mean(), rel=0.25)
    assert made_volumes.mean() == pytest.approx(real_volumes.mean(), abs=0.5)
    for lag in (1, 6):
        assert autocorrelation(made_moves, lag) == pytest.approx(autocorrelation(real_moves, lag), abs=0.1)
        assert autocorrelation(made_volumes, lag) == pytest.approx(autocorrelation(real_volumes, lag), abs=0.1)
