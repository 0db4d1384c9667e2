"""Charts: whatever is drawn has units on its axes and a baseline beside it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.article import charts

HOURS = charts.days([1_500_000_000 + 3600 * n for n in range(3000)])
CHANCE = np.random.default_rng(0)
PRICE = 100 * np.exp(CHANCE.normal(0, 0.01, 3000).cumsum())
VALUES = 100 * np.exp(CHANCE.normal(0, 0.01, (3000, 3)).cumsum(0))
SHARES = CHANCE.random((3000, 3))
CHARTS = {
    "market": (charts.market_chart(HOURS, PRICE, "The market"), 1),
    "episodes": (charts.episodes_chart(CHANCE.normal(0, 100, 700)), 2),
    "account": (charts.account_chart(HOURS, VALUES[:, 0], SHARES[:, 0], PRICE, 1.0, VALUES[:, 1]), 4),
    "exposure": (charts.exposure_chart(HOURS, PRICE, SHARES[:, 0], SHARES[:, 1]), 2),
}


@pytest.mark.parametrize("name", CHARTS)
def test_every_panel_says_what_it_shows_and_beside_what(name: str) -> None:
    drawn, panels = CHARTS[name]
    assert len(drawn.axes) == panels
    for axes in drawn.axes:
        assert axes.get_title("left")
        assert axes.get_ylabel()
        legend = axes.get_legend()
        assert legend is not None
        assert len(legend.get_texts()) >= 2
    assert drawn.axes[-1].get_xlabel()


def test_the_same_chart_is_the_same_file(tmp_path: Path) -> None:
    for name in ("one.png", "other.png"):
        charts.save(charts.market_chart(HOURS, PRICE, "The market"), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_a_chart_is_saved_by_its_ending(tmp_path: Path) -> None:
    charts.save(CHARTS["market"][0], tmp_path / "market.png")
    assert (tmp_path / "market.png").read_bytes().startswith(b"\x89PNG")


def test_few_episodes_are_drawn_too() -> None:
    assert "mean of 2 episodes" in [
        text.get_text() for text in charts.episodes_chart(np.array([1.0, 2.0])).axes[1].get_legend().get_texts()
    ]


@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-10, 10)))
def test_daily_means_are_of_the_hours_before(hourly: np.ndarray) -> None:
    naive = [hourly[max(n - 23, 0) : n + 1].mean() for n in range(len(hourly))]
    np.testing.assert_allclose(charts.daily(hourly), naive, atol=1e-9)
