"""What every test may ask for."""

from pathlib import Path

import pytest

from bot.candle_files import read_candles
from bot.candles import Candle

REAL = Path(__file__).parents[2] / "shared" / "data" / "bitfinex_btcusd_1h.csv"


@pytest.fixture(scope="session")
def real_candles() -> list[Candle]:
    """Five years of hourly BTC/USD candles, kept outside of the repository."""
    if not REAL.exists():
        pytest.skip(f"needs the real candles, {REAL.name}")
    return read_candles(REAL, 3600)
