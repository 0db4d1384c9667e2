"""Series to draw lose no peak, and changes begin where they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.ledger import AccountColumns
from bot.report import AccountRecord, FullSeries, changes, full_series, history_of, thin
from bot.trading import MISSED, AccountTerms, Fill

HOUR = 3600


def full(closes: list[float], fills: dict[int, Fill] | None = None) -> FullSeries:
    """An account that holds 100 and one coin at these closes, its second half not traded on."""
    n, price = len(closes), np.array(closes)
    times = np.arange(n) * HOUR
    candles = np.column_stack([price, price + 1, price - 1, price])
    reasons = ["policy"] * (n // 2) + [MISSED] * (n - n // 2)
    hundred, one, chances = np.full(n, 100.0), np.ones(n), np.tile([0.5, 0.25, 0.25], (n, 1))
    columns = AccountColumns(times, candles, hundred, one, 100 + price, 100 + price, chances, reasons, ["m"] * n)
    terms = AccountTerms("main", "bitfinex:BTC/USD:1h")
    record = AccountRecord(terms, columns, fills or {}, (100.0, 1.0), {"m": (2 * HOUR, 4 * HOUR)})
    return full_series(history_of(record))


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=400), st.integers(20, 120))
def test_no_extreme_is_lost_and_no_more_points_are_made(closes: list[float], points: int) -> None:
    whole = full(closes)
    series = thin(whole, points)
    assert len(series.bar_times) <= points
    assert (series.bar_times[0], series.bar_times[-1]) == (0, (len(closes) - 1) * HOUR)
    for thinned, every in ((series.values, whole.history.values), (series.holds, whole.history.holds)):
        assert (thinned.min(), thinned.max()) == (every.min(), every.max())
    assert series.drawdown.max() == whole.drawdown.max()
    assert series.candles[:, 1].max() == max(closes) + 1
    assert series.candles[:, 2].min() == min(closes) - 1


def test_points_add_up_what_happened_between_them() -> None:
    fills = {t * HOUR: Fill(t * HOUR, "buy" if t % 2 else "sell", 10.0, 1.0, 10.0, 0.1) for t in range(0, 300, 3)}
    whole = full([10.0 + n % 7 for n in range(300)], fills)
    series = thin(whole, 40)
    assert series.bought.sum() + series.sold.sum() == 10.0 * len(fills)
    assert series.untraded.sum() == 150
    assert series.in_sample.sum() == 1
    assert series.costs[-1] == pytest.approx(whole.history.commissions.sum() + whole.history.slippages.sum())
    assert series.candles[0, 0] == 10.0


def test_a_span_is_cut_out() -> None:
    series = thin(full([10.0] * 100), 50, 20 * HOUR, 40 * HOUR)
    assert series.bar_times.tolist() == [t * HOUR for t in range(20, 40)]
    assert len(thin(full([10.0] * 10), 50, 20 * HOUR).bar_times) == 0


def test_changes_since_midnight_begin_with_the_bar_that_closed_then() -> None:
    whole = full([100.0 + n for n in range(30)])  # bar 23 closes at midnight
    total, today = changes(whole), changes(whole, 24 * HOUR)
    assert total.account.money == pytest.approx(29.0)
    assert total.account.part == pytest.approx(29 / 200)
    assert today.account.money == pytest.approx(6.0)
    assert today.holding == today.account
    assert changes(whole, 0.0) == total
