"""From what the exchange says and what the ledger holds to the run that is decided next."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.candles import Candle, flat
from bot.errors import ExchangeError
from bot.plan import doubts, make_plan
from bot.simulator.generate import generate
from tests.harness import HOUR

CANDLES = generate(30, seed=3, holes=0, quiet=0)


def never(_before: Candle, _candle: Candle) -> bool:
    return False


def times(hours: int, factor: float) -> Candle:
    candle = CANDLES[hours]
    return Candle(candle.bar_time, *(price * factor for price in candle[1:5]), candle.volume)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 29), st.sets(st.integers(0, 29)), st.sets(st.integers(0, 29)))
def test_a_plan_is_whole_and_what_is_stored_stays(newest: int, gone: set[int], revised: set[int]) -> None:
    stored = CANDLES[: newest + 1]
    told = [
        candle._replace(volume=candle.volume * 2) if i in revised else candle
        for i, candle in enumerate(CANDLES)
        if i not in gone
    ]
    plan = make_plan(stored, told, HOUR, never)
    assert plan.suspect is None
    assert plan.run[: newest + 1] == stored
    assert [candle.bar_time for candle in plan.run] == [CANDLES[0].bar_time + i * HOUR for i in range(len(plan.run))]
    last = max([newest, *(i for i in range(30) if i not in gone)])
    assert len(plan.run) == last + 1
    synthetic = {i for i, candle in enumerate(plan.run) if candle.synthetic}
    assert synthetic == {i for i in gone if newest < i < last}
    assert sum(bars for _, bars in plan.gaps) == len(synthetic)
    assert [before.bar_time for before, _ in plan.revisions] == [
        CANDLES[i].bar_time for i in sorted(revised - gone) if i <= newest
    ]


@pytest.mark.parametrize(("believed", "length"), [(True, 6), (False, 5)])
def test_a_suspect_at_the_end_waits_unless_it_is_believed(believed: bool, length: int) -> None:
    asked = []

    def ticker(_before: Candle, candle: Candle) -> bool:
        asked.append(candle)
        return believed

    odd = times(5, 2.2)
    plan = make_plan(CANDLES[:3], [*CANDLES[:5], odd], HOUR, ticker)
    assert len(plan.run) == length
    assert plan.suspect == (None if believed else odd)
    assert asked == [odd]


def test_a_suspect_that_a_later_candle_confirms_is_taken() -> None:
    told = [*CANDLES[:5], times(5, 2.2), times(6, 2.2)]
    assert make_plan(CANDLES[:3], told, HOUR, never).run == told


def test_a_late_trade_in_an_hour_that_was_taken_for_empty_is_a_revision() -> None:
    stored = [*CANDLES[:3], flat(CANDLES[2], HOUR), CANDLES[4]]
    plan = make_plan(stored, CANDLES[:6], HOUR, never)
    assert plan.revisions == [(stored[3], CANDLES[3])]
    assert plan.run == [*stored, CANDLES[5]]
    still_empty = Candle(*stored[3][:6])
    assert make_plan(stored, [*CANDLES[:3], still_empty], HOUR, never).revisions == []


def test_an_answer_that_contradicts_most_of_the_past_is_refused() -> None:
    with pytest.raises(ExchangeError, match="contradicts the ledger: 10 of 10"):
        make_plan(CANDLES[:10], [times(i, 3.0) for i in range(12)], HOUR, never)
    one = [times(4, 3.0) if i == 4 else CANDLES[i] for i in range(12)]
    assert make_plan(CANDLES[:10], one, HOUR, never).revisions == [(CANDLES[4], one[4])]


def test_doubts_are_of_new_candles_after_a_hole_or_a_jump() -> None:
    assert doubts(CANDLES[:5], CANDLES[:9], HOUR) == []
    assert doubts(CANDLES[:5], [*CANDLES[:5], *CANDLES[6:9]], HOUR) == [CANDLES[6]]
    odd = times(6, 3.0)
    assert doubts(CANDLES[:5], [*CANDLES[:6], odd], HOUR) == [odd]
    assert doubts([], [*CANDLES[:3], *CANDLES[5:6]], HOUR) == [CANDLES[5]]
    assert doubts(CANDLES[:5], [CANDLES[0], *CANDLES[2:9]], HOUR) == []
