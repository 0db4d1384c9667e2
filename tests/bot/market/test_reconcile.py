"""From what the exchange says and what the ledger holds to the run that is decided next."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import ExchangeError, WrongMarketError
from bot.market import Candle
from bot.market.candles import flat_candle
from bot.market.reconcile import lacks_overlap, needs_second_look, reconcile
from bot.simulator import generate_candles
from tests.harness import HOUR

CANDLES = generate_candles(30, seed=3, holes=0, quiet=0)


def never(_before: Candle, _candle: Candle) -> bool:
    return False


def times(hours: int, factor: float) -> Candle:
    candle = CANDLES[hours]
    return Candle(candle.bar_time, *(price * factor for price in candle[1:5]), candle.volume)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 29), st.sets(st.integers(0, 29)), st.sets(st.integers(0, 29)))
def test_the_run_is_whole_and_what_is_stored_stays(newest: int, gone: set[int], revised: set[int]) -> None:
    stored = CANDLES[: newest + 1]
    fetched = [
        candle._replace(volume=candle.volume * 2) if i in revised else candle
        for i, candle in enumerate(CANDLES)
        if i not in gone
    ]
    reconciled = reconcile(stored, fetched, HOUR, never)
    assert reconciled.suspect is None
    assert reconciled.run[: newest + 1] == stored
    assert [candle.bar_time for candle in reconciled.run] == [
        CANDLES[0].bar_time + i * HOUR for i in range(len(reconciled.run))
    ]
    last = max([newest, *(i for i in range(30) if i not in gone)])
    assert len(reconciled.run) == last + 1
    synthetic = {i for i, candle in enumerate(reconciled.run) if candle.synthetic}
    assert synthetic == {i for i in gone if newest < i < last}
    assert sum(bars for _, bars in reconciled.gaps) == len(synthetic)
    assert [before.bar_time for before, _ in reconciled.revisions] == [
        CANDLES[i].bar_time for i in sorted(revised - gone) if i <= newest
    ]


@pytest.mark.parametrize(("believed", "length"), [(True, 6), (False, 5)])
def test_a_suspect_at_the_end_waits_unless_it_is_believed(believed: bool, length: int) -> None:
    asked = []

    def ticker(_before: Candle, candle: Candle) -> bool:
        asked.append(candle)
        return believed

    odd = times(5, 2.2)
    reconciled = reconcile(CANDLES[:3], [*CANDLES[:5], odd], HOUR, ticker)
    assert len(reconciled.run) == length
    assert reconciled.suspect == (None if believed else odd)
    assert asked == [odd]


def test_a_suspect_that_a_later_candle_confirms_is_taken() -> None:
    fetched = [*CANDLES[:5], times(5, 2.2), times(6, 2.2)]
    assert reconcile(CANDLES[:3], fetched, HOUR, never).run == fetched


def test_a_late_trade_in_an_hour_that_was_taken_for_empty_is_a_revision() -> None:
    stored = [*CANDLES[:3], flat_candle(CANDLES[2], HOUR), CANDLES[4]]
    reconciled = reconcile(stored, CANDLES[:6], HOUR, never)
    assert reconciled.revisions == [(stored[3], CANDLES[3])]
    assert reconciled.run == [*stored, CANDLES[5]]
    still_empty = Candle(*stored[3][:6])
    assert reconcile(stored, [*CANDLES[:3], still_empty], HOUR, never).revisions == []


def test_an_answer_that_contradicts_most_of_the_past_is_refused() -> None:
    with pytest.raises(ExchangeError, match="contradicts the ledger: 10 of 10"):
        reconcile(CANDLES[:10], [times(i, 3.0) for i in range(12)], HOUR, never)
    one = [times(4, 3.0) if i == 4 else CANDLES[i] for i in range(12)]
    assert reconcile(CANDLES[:10], one, HOUR, never).revisions == [(CANDLES[4], one[4])]


def test_a_new_candle_after_a_gap_or_a_jump_needs_a_second_look() -> None:
    assert not needs_second_look(CANDLES[:5], CANDLES[:9], HOUR)
    assert needs_second_look(CANDLES[:5], [*CANDLES[:5], *CANDLES[6:9]], HOUR)
    odd = times(6, 3.0)
    assert needs_second_look(CANDLES[:5], [*CANDLES[:6], odd], HOUR)
    assert needs_second_look([], [*CANDLES[:3], *CANDLES[5:6]], HOUR)
    assert not needs_second_look(CANDLES[:5], [CANDLES[0], *CANDLES[2:9]], HOUR)


def test_other_prices_under_the_same_name_are_another_market() -> None:
    stored, other = CANDLES[:24], [times(i, 1.001) for i in range(26)]
    with pytest.raises(WrongMarketError, match="24 of the last 24 closes differ"):
        reconcile(stored, other, HOUR, never)
    assert len(reconcile(stored, [*CANDLES[:23], *other[23:]], HOUR, never).revisions) == 1


def test_an_answer_without_any_stored_candle_lacks_the_overlap() -> None:
    assert lacks_overlap(CANDLES[:5], CANDLES[8:10])
    assert not lacks_overlap(CANDLES[:5], CANDLES[4:10])
    assert not lacks_overlap([], CANDLES[8:10])
    assert not lacks_overlap([flat_candle(CANDLES[2], HOUR)], CANDLES[8:10])
