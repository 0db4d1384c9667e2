"""What a candle is, when it is closed, and what makes a run of candles whole."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.clock import bar_seconds, newest_closed
from bot.errors import UsageError
from bot.market import Candle, fill_gaps, find_gaps, is_confirmed_by
from bot.market.candles import BadCandlesError, find_flaw, flat_candle, is_suspect, validate_candles
from tests.harness import HOUR

GOOD = Candle(7200, 100.0, 110.0, 90.0, 105.0, 3.0)
prices = st.floats(1e-6, 1e9)


@st.composite
def candles(draw: st.DrawFn) -> Candle:
    """Any candle that an exchange could have traded."""
    low, high = sorted((draw(prices), draw(prices)))
    opened, close = (draw(st.floats(low, high)) for _ in range(2))
    return Candle(draw(st.integers(0, 2000)) * HOUR, opened, high, low, close, draw(st.floats(0, 1e9)))


runs = st.lists(candles(), min_size=1, max_size=20, unique_by=lambda candle: candle.bar_time).map(sorted)


@pytest.mark.parametrize(("text", "seconds"), [("1m", 60), ("15m", 900), ("1h", 3600), ("4h", 14400), ("1d", 86400)])
def test_timeframes(text: str, seconds: int) -> None:
    assert bar_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "0h", "-1h", "1w", "1M", "1 h", "1h ", "01h", "1.5h", "hour", "99999m", "\uff11h"]
)
def test_what_is_not_a_timeframe(text: str) -> None:
    with pytest.raises(UsageError, match=r"exchange\.timeframe"):
        bar_seconds(text)


@given(st.floats(0, 4e9), st.sampled_from([60, 900, 3600, 86400]))
def test_the_newest_closed_bar_has_closed_and_the_next_has_not(now: float, bar: int) -> None:
    newest = newest_closed(now, bar)
    assert newest % bar == 0
    assert newest + bar <= now < newest + 2 * bar


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"open": float("nan")}, "not finite"), ({"high": float("inf")}, "not finite"),
        ({"volume": float("nan")}, "not finite"), ({"low": 0.0}, "not positive"), ({"close": -1.0}, "not positive"),
        ({"volume": -1e-9}, "negative volume"), ({"high": 104.0}, "outside of high and low"),
        ({"low": 101.0}, "outside of high and low"), ({"high": 80.0}, "outside of high and low"),
        ({"bar_time": 7201}, "multiple of 3600"), ({"bar_time": -3600}, "since 1970"),
        ({"bar_time": 10**30 * HOUR}, "since 1970"),
    ],
)  # fmt: skip
def test_a_flaw_is_put_in_words(change: dict[str, float], words: str) -> None:
    assert find_flaw(GOOD, HOUR) is None
    wrong = GOOD._replace(**change)  # type: ignore[arg-type]
    assert words in str(find_flaw(wrong, HOUR))
    with pytest.raises(BadCandlesError, match=words):
        validate_candles([GOOD._replace(bar_time=0), wrong], HOUR)


@given(runs, st.randoms())
def test_checked_sorts_and_drops_equal_duplicates(run: list[Candle], chance: object) -> None:
    mixed = [*run, *run[::2]]
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert validate_candles(mixed, HOUR) == run


def test_two_candles_of_one_bar_that_differ_are_refused() -> None:
    with pytest.raises(BadCandlesError, match="7200 appears twice"):
        validate_candles([GOOD, GOOD._replace(volume=4.0)], HOUR)


def test_a_volume_of_zero_has_no_sign() -> None:
    assert repr(validate_candles([GOOD._replace(volume=-0.0)], HOUR)[0].volume) == "0.0"


@given(runs)
def test_a_whole_run_has_every_bar_and_only_flat_ones_more(run: list[Candle]) -> None:
    filled = fill_gaps(run, HOUR)
    assert [candle.bar_time for candle in filled] == list(range(run[0].bar_time, run[-1].bar_time + 1, HOUR))
    assert [candle for candle in filled if not candle.synthetic] == run
    assert find_gaps(filled, HOUR) == []
    assert sum(bars for _, bars in find_gaps(run, HOUR)) == len(filled) - len(run)
    assert {time + i * HOUR for time, bars in find_gaps(run, HOUR) for i in range(bars)} == {
        candle.bar_time for candle in filled if candle.synthetic
    }
    for before, candle in pairwise(filled):
        if candle.synthetic:
            assert candle == flat_candle(before, HOUR)
            assert candle[1:6] == (*[before.close] * 4, 0.0)
        assert find_flaw(candle, HOUR) is None
    assert fill_gaps(filled, HOUR) == filled


def test_nothing_is_whole() -> None:
    assert [fill_gaps([], HOUR), find_gaps([], HOUR), validate_candles([], HOUR)] == [[], [], []]


@pytest.mark.parametrize(
    ("high", "low", "suspect"),
    [(210.0, 100.0, False), (210.01, 100.0, True), (105.0, 52.5, False), (105.0, 52.49, True)],
)
def test_more_than_twice_or_less_than_half_is_suspect(high: float, low: float, suspect: bool) -> None:
    assert is_suspect(GOOD, Candle(10800, 105.0, high, low, 105.0, 1.0)) == suspect


@given(candles(), prices)
def test_a_price_agrees_when_the_close_and_all_that_is_suspect_lie_within_a_fifth_of_it(
    candle: Candle, price: float
) -> None:
    before = Candle(0, price, price, price, price, 1.0)
    odd = [mine for mine in candle[1:4] if mine > 2 * price or mine < price / 2]
    assert is_confirmed_by(before, candle, price) == (abs(candle.close - price) <= 0.2 * price and not odd)
    fallen = Candle(0, price, price, price * 0.39, price * 0.4, 1.0)  # it opened where the one before closed
    assert is_confirmed_by(before, fallen, price * 0.4)
    assert not is_confirmed_by(before, fallen, price)
    assert not is_confirmed_by(
        before, Candle(0, price, price * 10, price, price, 1.0), price
    )  # a wick that the ticker lacks
