"""Sharpe ratio and drawdown by hand."""

import numpy as np
import pytest

from bot.report.statistics import drawdowns, sharpe


def test_sharpe_by_hand() -> None:
    values = np.array([100.0, 110.0, 99.0, 108.9])
    returns = np.array([0.1, -0.1, 0.1])
    assert sharpe(values, 8_760) == pytest.approx(returns.mean() / returns.std() * np.sqrt(8_760))
    assert sharpe(np.full(5, 3.0), 8_760) is None
    assert sharpe(np.array([1.0, 0.0, 0.0]), 8_760) is None


def test_drawdown_is_from_the_highest_before() -> None:
    assert drawdowns(np.array([100.0, 80.0, 120.0, 90.0, 120.0])).tolist() == [0.0, 1 - 0.8, 0.0, 0.25, 0.0]
