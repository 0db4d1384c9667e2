"""Several files of candles: names, coins, and which hours count."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bot.errors import UsageError
from bot.market import Candle
from training.data import Origin, load_markets, stretches, write_file
from training.data.markets import coin_of, market_name

Walk = Callable[..., list[Candle]]


@pytest.mark.parametrize(
    ("name", "coin"),
    [
        ("BTC_USDT-binance-1h.csv.gz", "BTC"),
        ("BTC_USD-coinbase-1h.csv.gz", "BTC"),
        ("bitfinex_btcusd_1h.csv", "BTC"),
        ("kraken-xbt-usd.json", "BTC"),
        ("1INCH_USDT.csv", "1INCH"),
        ("ethusdt.parquet", "ETH"),
        ("walk-3.csv", ""),
        ("susd.csv", ""),
    ],
)
def test_the_coin_is_read_from_the_name(name: str, coin: str) -> None:
    assert coin_of(Path(name)) == coin


def test_what_a_file_tells_comes_before_its_name() -> None:
    assert coin_of(Path("btcusd.parquet"), Origin("here", "ETH/USD:USD", "1h")) == "ETH"


def test_a_market_is_called_after_its_file() -> None:
    paths = [Path("a/BTC_USDT-binance-1h.csv.gz"), Path("a/x.csv"), Path("b/x.csv")]
    assert [market_name(path, paths) for path in paths] == ["BTC_USDT-binance", "a/x", "b/x"]


def test_patterns_and_files_in_their_order(walk: Walk, tmp_path: Path) -> None:
    for name in ("ETH_USD", "ADA_USD", "LTC_USD"):
        write_file(tmp_path / f"{name}.csv", walk(30, len(name)), Origin())
    markets = load_markets([tmp_path / "LTC_USD.csv", tmp_path / "*.csv"])
    assert [market.name for market in markets] == ["LTC_USD", "ADA_USD", "ETH_USD"]
    assert [market.coin for market in markets] == ["LTC", "ADA", "ETH"]
    assert {market.bar for market in markets} == {3600}
    with pytest.raises(UsageError, match="matches no file"):
        load_markets([tmp_path / "*.parquet"])


def test_an_hour_of_a_coin_counts_once(walk: Walk, tmp_path: Path) -> None:
    candles = walk(100)
    paths = [
        tmp_path / "btcusd.csv",
        tmp_path / "BTC_USDT-there-1h.csv",
        tmp_path / "BTC_EUR.csv",
        tmp_path / "dot.csv",
    ]
    for path, some in zip(paths, (candles[40:80], candles[:90], candles[50:60], candles), strict=True):
        write_file(path, some, Origin())
    said: list[str] = []
    markets = load_markets(paths, warn=said.append)
    assert [market.candles for market in markets] == [candles[40:80], candles[:40], candles]
    assert len(said) == 2
    assert "BTC_USDT-there is the same coin as btcusd (BTC)" in said[0]
    assert "only 2017-07-14 to 2017-07-15 of it is used" in said[0]
    assert "it is left out" in said[1]
    assert [len(market.candles) for market in load_markets(paths, same_coin=True)] == [40, 90, 10, 100]


def test_bars_of_another_length_are_refused(walk: Walk, tmp_path: Path) -> None:
    write_file(tmp_path / "a.parquet", walk(30), Origin("", "", "1h"))
    daily = [candle._replace(bar_time=86_400 * n) for n, candle in enumerate(walk(30))]
    write_file(tmp_path / "b.parquet", daily, Origin("", "", "1d"))
    with pytest.raises(UsageError, match="candles of 86400 seconds"):
        load_markets([tmp_path / "a.parquet", tmp_path / "b.parquet"])


def test_stretches_have_no_hole_and_miss_nothing(walk: Walk, tmp_path: Path) -> None:
    candles = walk(50)
    del candles[10], candles[20:24], candles[-2]
    write_file(tmp_path / "a.csv", candles, Origin())
    market = load_markets([tmp_path / "a.csv"])[0]
    runs = stretches(market)
    assert [len(run) for run in runs] == [10, 10, 23]
    assert all(np.diff([candle.bar_time for candle in run]).tolist() == [3600] * (len(run) - 1) for run in runs)
    assert [len(run) for run in stretches(market, 1)] == [10, 10, 23, 1]
    assert [len(run) for run in stretches(market, 11)] == [23]
