"""What every test may ask for."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from bot.market import Candle, read_candles
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport  # noqa: F401 - hooks of pytest

hypothesis.settings.register_profile(
    "patient",
    deadline=None,  # a busy machine fails no test
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="CI" in os.environ,  # there, a change fails for what it changed; elsewhere, new examples are found
)
hypothesis.settings.load_profile("patient")

REAL = Path(__file__).parents[2] / "shared" / "data" / "bitfinex_btcusd_1h.csv"


@pytest.fixture(scope="session")
def real_candles() -> list[Candle]:
    """Five years of hourly BTC/USD candles, kept outside of the repository."""
    if not REAL.exists():
        pytest.skip(f"needs the real candles, {REAL.name}")
    return read_candles(REAL, 3600)


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[list[Any]]:
    """What the test made the daemon log, as dictionaries, instead of lines on standard error."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A setting in the environment of whoever runs the tests changes none of them."""
    for name in list(os.environ):
        if name.startswith("HOURHAND_") and name != "HOURHAND_TEST_POSTGRES_URL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "config"))
