"""Charts: what is thinned loses no extreme, and axes are round."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.report import thinned
from bot.report.charts import BUCKETS, Line, Marks, Panel, chart, means, ticks
from bot.report.formatting import short


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3 * BUCKETS), st.integers(1, 9))
def test_thinning_keeps_the_ends_and_the_extremes(values: list[float], times: int) -> None:
    series = np.tile(np.array(values), times)
    kept = thinned(series)
    assert len(kept) <= 4 * BUCKETS
    assert (kept[0], kept[-1]) == (0, len(series) - 1)
    assert np.all(np.diff(kept) > 0)
    assert series[kept].min() == series.min()
    assert series[kept].max() == series.max()


def test_no_peak_of_a_year_is_lost() -> None:
    series = np.random.default_rng(1).normal(size=8_760)
    kept = set(thinned(series).tolist())
    for bucket in np.array_split(np.arange(8_760), BUCKETS):
        assert kept & set(bucket.tolist())
    assert {int(series.argmin()), int(series.argmax())} <= kept


@given(st.lists(st.floats(0, 1), min_size=1, max_size=2_000))
def test_means_keep_the_mean(values: list[float]) -> None:
    series = np.array(values)
    smooth = means(series)
    assert len(smooth) == len(series)
    assert smooth.mean() == pytest.approx(series.mean(), abs=1e-12)
    assert smooth.min() >= series.min() - 1e-12
    assert smooth.max() <= series.max() + 1e-12


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9), st.integers(2, 9))
@example(0.0, 0.0, 5)
@example(30_000.0, 0.0, 5)
@example(268_435_456.0, 0.375, 8)
@example(-0.3, 0.3, 4)
def test_ticks_are_round_and_embrace_the_numbers(low: float, span: float, most: int) -> None:
    made = ticks(low, low + span, most)
    step = made[1] - made[0]
    slack = 1e-6 * step
    assert made[0] <= low + slack
    assert made[-1] >= low + span - slack
    assert 2 <= len(made) <= most + 3
    assert all(now - before == pytest.approx(step, rel=1e-6) for before, now in pairwise(made))
    assert f"{step:.3e}"[:4] in {"1.00", "2.00", "2.50", "5.00"}


def test_a_chart_of_one_bar_is_one() -> None:
    drawn = chart("t", "n", np.array([0]), [Panel([Line("a", np.array([5.0]), "mine")], str)], Marks())
    assert drawn.count("<path") == 2


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0"), (999.0, "999"), (4_000.0, "4k"), (4e9, "4B"), (1.25e6, "1.25M"), (0.00012, "0.00012"), (-2e12, "-2T")],
)
def test_axes_are_read_at_a_glance(number: float, text: str) -> None:
    assert short(number) == text
