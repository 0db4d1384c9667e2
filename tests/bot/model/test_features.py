"""What the policy sees: one bar or a million, the article's formula or logarithms, never a number that is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ModelError
from bot.market import Candle
from bot.model import ARTICLE, Features, get_features, market_observations
from bot.model import features as feature_sets
from bot.model.features import RETURNS, SLOW_RETURNS, fingerprint
from bot.simulator import generate_candles
from bot.trading import Rules

CANDLES = np.array([candle[1:6] for candle in generate_candles(500, seed=2, quiet=0.05)])
ALL = [ARTICLE, RETURNS, SLOW_RETURNS]
holdings = st.tuples(st.floats(0, 1e9), st.floats(0, 1e6), st.floats(1e-3, 1e7))


@pytest.mark.parametrize("features", ALL, ids=lambda features: features.name)
def test_one_bar_after_the_other_is_all_of_them_at_once(features: Features) -> None:
    together = market_observations(features, CANDLES)
    single, memory = [], np.zeros(features.memory.size if features.memory else 0)
    for i in range(len(CANDLES)):
        before, bar = CANDLES[max(i - 1, 0)], CANDLES[i]
        seen = features.market(before, bar)
        if features.memory:
            memory = features.memory.move(memory, before, bar)
            seen = np.concatenate([seen, features.memory.look(memory, bar)])
        single.append(seen)
    np.testing.assert_array_equal(together, np.array(single))
    assert together.shape == (len(CANDLES), len(features.market_names))
    assert np.isfinite(together).all()


def test_the_articles_five_are_changes_in_percent() -> None:
    before, bar = np.array([100.0, 110.0, 90.0, 105.0, 12.0]), np.array([105.0, 99.0, 91.8, 105.0, 3.0])
    assert ARTICLE.market(before, bar).tolist() == pytest.approx([5.0, -10.0, 2.0, 0.0, -75.0], rel=1e-12)
    assert ARTICLE.market(bar, bar).tolist() == [0.0] * 5


def test_the_change_after_an_hour_without_volume_is_zero() -> None:
    quiet, busy = np.array([100.0, 100.0, 100.0, 100.0, 0.0]), np.array([100.0, 101.0, 99.0, 100.0, 7.0])
    assert ARTICLE.market(quiet, busy)[4] == 0.0
    assert ARTICLE.market(busy, quiet)[4] == -100.0


def test_the_articles_account_is_in_units_of_the_start() -> None:
    assert ARTICLE.account(5_000.0, 1.5, 123.0, Rules()) == (0.5, 1.5)
    assert ARTICLE.account(7.0, 3.0, 123.0, Rules(initial_balance=0.0, initial_stocks=0.0)) == (7.0, 3.0)


def test_returns_are_logarithms_in_percent_that_stay_small() -> None:
    before, bar = np.array([1.0, 1.0, 1.0, 100.0, 9.0]), np.array([100.0, 104.0, 96.0, 102.0, 19.0])
    close, high, low, position, volume = RETURNS.market(before, bar).tolist()
    for value, ratio in ((close, 1.02), (high, 1.04), (low, 0.96)):
        assert np.sinh(value) / 100 == pytest.approx(np.log(ratio), rel=1e-12)
    assert position == 0.5
    assert np.sinh(volume) == pytest.approx(np.log(2.0), rel=1e-12)


@given(
    st.lists(st.floats(1e-6, 1e8), min_size=8, max_size=8),
    st.lists(st.floats(0, 1e8), min_size=2, max_size=2),
    holdings,
)
def test_returns_are_small_whatever_happens(
    prices: list[float], volumes: list[float], held: tuple[float, float, float]
) -> None:
    def candle(numbers: list[float], volume: float) -> list[float]:
        opened, close = numbers[:2]
        return [opened, max(numbers), min(numbers), close, volume]

    before, bar = np.array(candle(prices[:4], volumes[0])), np.array(candle(prices[4:], volumes[1]))
    seen = RETURNS.market(before, bar)
    assert np.abs(seen).max() < 12
    assert abs(seen[3]) <= 1 + 1e-9
    (share,) = RETURNS.account(*held, Rules())
    assert -1 <= share <= 1


def test_the_share_in_coins() -> None:
    assert RETURNS.account(100.0, 0.0, 50.0, Rules()) == (-1.0,)
    assert RETURNS.account(0.0, 2.0, 50.0, Rules()) == (1.0,)
    assert RETURNS.account(100.0, 2.0, 50.0, Rules()) == (0.0,)
    assert RETURNS.account(0.0, 0.0, 50.0, Rules()) == (-1.0,)
    together = RETURNS.account(np.array([100.0, 0.0]), np.array([2.0, 0.0]), np.array([50.0, 50.0]), Rules())
    assert together[0].tolist() == [0.0, -1.0]


def test_every_real_candle_gives_numbers(real_candles: list[Candle]) -> None:
    table = np.array([candle[1:6] for candle in real_candles])
    for features in ALL:
        assert np.isfinite(market_observations(features, table)).all()
    window = [i for i, candle in enumerate(real_candles) if 1_525_626_000 <= candle.bar_time <= 1_561_604_400]
    assert market_observations(ARTICLE, table)[window, 4].max() == pytest.approx(27_889, abs=1)  # the article's
    assert market_observations(ARTICLE, table)[:, 4].max() > 8e6
    assert np.abs(market_observations(RETURNS, table)).max() < 5


def test_the_fingerprint_is_of_what_they_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name: fingerprint(name)[:16] for name in ("article", "returns")} == GOLDEN
    other = ARTICLE._replace(market=lambda before, bar: feature_sets.changes(before, bar) * (1 + 1e-8))
    monkeypatch.setattr(feature_sets, "_ALL", {"article": other})
    fingerprint.cache_clear()
    assert fingerprint("article")[:16] != GOLDEN["article"]
    fingerprint.cache_clear()


# Models in use hold these: a change of a formula needs another name.
GOLDEN = {"article": "54bd0680ad12a5e0", "returns": "4cf22442d6c0cb7f"}


def test_unknown_features_are_refused() -> None:
    with pytest.raises(ModelError, match="'astrology' are not known; the known ones are article, returns"):
        get_features("astrology")
    assert [get_features(features.name) for features in ALL] == ALL


def test_averages_are_those_of_the_bars_there_were() -> None:
    """Against weighted means written out: the newest bar weighs most, and their weights add up to 1."""
    closes, volumes = np.log(CANDLES[:100, 3]), np.log1p(CANDLES[:100, 4])
    seen = market_observations(SLOW_RETURNS, CANDLES[:100])[-1, 5:]

    def mean(values: np.ndarray, hours: float) -> float:
        weights = (1 - 1 / hours) ** np.arange(len(values))[::-1]
        return float((weights * values).sum() / weights.sum())

    squares = np.square(np.diff(closes, prepend=closes[0]))
    day, week, month = (mean(squares, hours) + 1e-8 for hours in (24, 168, 720))
    expected = [
        *((closes[-1] - mean(closes, hours)) / np.sqrt(month * hours) for hours in (24, 168, 720)),
        0.5 * np.log(day / month),
        0.5 * np.log(week / month),
        volumes[-1] - mean(volumes, 24),
        volumes[-1] - mean(volumes, 168),
        mean(volumes, 24) - mean(volumes, 168),
    ]
    assert np.sinh(seen).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_first_bar_is_average_in_everything() -> None:
    assert np.abs(market_observations(SLOW_RETURNS, CANDLES[:1])[0, 5:]).max() < 1e-12


def test_what_is_remembered_knows_no_price_level() -> None:
    scaled = CANDLES * np.array([1000.0, 1000.0, 1000.0, 1000.0, 1.0])
    one, other = (market_observations(SLOW_RETURNS, candles) for candles in (CANDLES, scaled))
    np.testing.assert_allclose(one, other, atol=1e-6)
