"""Sharpe ratio and drawdown by hand."""

import numpy as np
import pytest

from bot.report.statistics import sharpe


def test_sharpe_by_hand() -> None:
    values = np.array([100.0, 110.0, 99.0, 108.9])
    returns = np.array([0.1, -0.1, 0.1])
    assert sharpe(values, 8_760) == pytest.approx(returns.mean() / returns.std() * np.sqrt(8_760))
    assert sharpe(np.full(5, 3.0), 8_760) is None
    assert sharpe(np.array([1.0, 0.0, 0.0]), 8_760) is None
