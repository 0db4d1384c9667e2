"""Files of freqtrade, Binance and CryptoDataDownload, small ones in their forms, through `hourhand-train import`."""

import gzip
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bot.errors import UsageError
from bot.market import Candle, read_candles
from training.cli import main
from training.data import Origin, read_any, read_file

Walk = Callable[..., list[Candle]]
Write = Callable[[Path, list[Candle]], object]
BINANCE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def feather(path: Path, candles: list[Candle]) -> None:
    frame = pd.DataFrame([candle[:6] for candle in candles], columns=["date", "open", "high", "low", "close", "volume"])
    frame["date"] = pd.to_datetime(frame["date"], unit="s", utc=True)
    frame.to_feather(path, compression="lz4")


def freqtrade_json(path: Path, candles: list[Candle]) -> None:
    text = json.dumps([[candle.bar_time * 1000, *candle[1:6]] for candle in candles])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def binance_rows(candles: list[Candle], unit: int) -> str:
    rows = ([one.bar_time * unit, *one[1:6], (one.bar_time + 3600) * unit - 1, 1.5, 2, 0.5, 0.7, 0] for one in candles)
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def binance(path: Path, candles: list[Candle], unit: int, header: str = "") -> None:
    text = header + binance_rows(candles, unit)
    if path.suffix == ".csv":
        path.write_text(text)
        return
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path.with_suffix(".csv").name, text)


def crypto_data_download(path: Path, candles: list[Candle], **form: Any) -> None:
    newest_first, comment, unit = form.get("newest_first", True), form.get("comment", True), form.get("unit", 1)
    lines = ["https://www.CryptoDataDownload.com"] if comment else []
    lines.append(form.get("header", "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD"))
    for one in reversed(candles) if newest_first else candles:
        moment = datetime.fromtimestamp(one.bar_time, UTC)
        cells = [moment.strftime(form.get("date", "%Y-%m-%d %H:%M:%S")), form.get("symbol", "BTC/USD")]
        time = [one.bar_time * unit] if form.get("unix", True) else []
        prices, volumes = list(one[1:5]), [one.volume, one.volume * one.close]
        lines.append(",".join(map(str, [*time, *cells, *prices, *volumes])))
    path.write_text("\n".join(lines) + "\n")


KINDS: dict[str, tuple[str, Write, Origin]] = {
    "freqtrade feather": ("BTC_USDT-1h.feather", feather, Origin("", "BTC/USDT", "1h")),
    "freqtrade futures": ("BTC_USDT_USDT-1h-futures.feather", feather, Origin("", "BTC/USDT", "1h")),
    "freqtrade json": ("BTC_USDT-1h.json", freqtrade_json, Origin("", "BTC/USDT", "1h")),
    "freqtrade json.gz": ("BTC_USDT-1h.json.gz", freqtrade_json, Origin("", "BTC/USDT", "1h")),
    "binance ms": ("BTCUSDT-1h-2021-01.zip", lambda p, c: binance(p, c, 10**3), Origin("binance", "BTC/USDT", "1h")),
    "binance us": ("BTCUSDT-1h-2025-01.zip", lambda p, c: binance(p, c, 10**6), Origin("binance", "BTC/USDT", "1h")),
    "binance header": (
        "ETHBTC-1h-2021-01-05.zip",
        lambda p, c: binance(p, c, 10**3, f"{BINANCE_HEADER}\n"),
        Origin("binance", "ETH/BTC", "1h"),
    ),
    "binance csv": ("BTCUSDT-1h-2021-01.csv", lambda p, c: binance(p, c, 10**3), Origin("binance", "BTC/USDT", "1h")),
    "cdd newest first": ("Bitfinex_BTCUSD_1h.csv", crypto_data_download, Origin("bitfinex", "BTC/USD", "1h")),
    "cdd newest last": (
        "Bitstamp_BTCUSD_1h.csv",
        lambda p, c: crypto_data_download(p, c, newest_first=False, comment=False),
        Origin("bitstamp", "BTC/USD", "1h"),
    ),
    "cdd milliseconds": (
        "Binance_BTCUSDT_1h.csv",
        lambda p, c: crypto_data_download(
            p, c, unit=1000, symbol="BTCUSDT", header="Unix,Date,Symbol,Open,High,Low,Close,Volume USDT,Volume BTC"
        ),
        Origin("binance", "BTC/USDT", "1h"),
    ),
    "cdd dates": (
        "gemini_BTCUSD_1h.csv",
        lambda p, c: crypto_data_download(
            p, c, unix=False, date="%Y-%m-%d %I-%p", header="Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USD"
        ),
        Origin("gemini", "BTC/USD", "1h"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_peers_file_becomes_ours(kind: str, walk: Walk, tmp_path: Path) -> None:
    name, write, origin = KINDS[kind]
    candles = walk(30)
    write(tmp_path / name, candles)
    if kind == "cdd milliseconds":  # there the columns of the two volumes have changed places
        candles = [one._replace(volume=one.volume * one.close) for one in candles]
    out = tmp_path / "candles.parquet"
    assert main(["import", str(tmp_path / name), "--out", str(out)]) == 0
    assert read_file(out) == (candles, origin)


def test_files_of_several_months_become_one(walk: Walk, tmp_path: Path) -> None:
    candles = walk(40)
    files = [tmp_path / f"BTCUSDT-1h-2021-0{month}.zip" for month in (1, 2)]
    binance(files[1], candles[18:], 10**6)
    binance(files[0], candles[:20], 10**3)
    out = tmp_path / "candles.csv"
    assert main(["import", *map(str, files), "--out", str(out)]) == 0
    assert read_candles(out, 3600) == candles


def test_what_the_user_says_beats_the_name(walk: Walk, tmp_path: Path) -> None:
    freqtrade_json(tmp_path / "BTC_USDT-1h.json", walk(10))
    out = tmp_path / "candles.parquet"
    words = [
        "import",
        str(tmp_path / "BTC_USDT-1h.json"),
        "--out",
        str(out),
        "--exchange",
        "okx",
        "--symbol",
        "BTC/USD",
    ]
    assert main(words) == 0
    assert read_file(out)[1] == Origin("okx", "BTC/USD", "1h")


def test_another_timeframe_is_in_the_name(tmp_path: Path) -> None:
    candles = [Candle(14_400 * i, 1.0, 2.0, 1.0, 1.5, 3.0) for i in range(111_760, 111_768)]
    binance(tmp_path / "BTCUSDT-4h-2021-01.zip", candles, 10**3)
    assert read_any(tmp_path / "BTCUSDT-4h-2021-01.zip") == (candles, Origin("binance", "BTC/USDT", "4h"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("BTCUSDT-1h-2021-01.zip", b"PK\x03\x04 nothing", "no usable candles"),
        ("BTC_USDT-1h.feather", b"ARROW1 nothing", "no usable candles"),
        ("BTC_USDT-1h.json.gz", b"nothing", "no usable candles"),
        ("BTC_USDT-1h.json.gz", gzip.compress(b"{}", mtime=0), "not a list"),
        ("Bitfinex_BTCUSD_1h.csv", b"https://x\nunix,date,open\n1,2,3\n", "its columns are unix, date, open"),
        ("x.csv", b"unix,date,symbol,open,high,low,close,Volume USD\n3600,,BTC/USD,1,2,1,2,3\n", "volume in the coins"),
        ("x.csv", b"date,symbol,open,high,low,close,Volume BTC\nsoon,BTC/USD,1,2,1,2,3\n", "'soon' is not a time"),
        ("x.csv", b"1609459200000,1,2\n", "row 1"),
        ("gone.zip", None, "there is no such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_any(tmp_path / name)


def test_files_of_two_markets_are_not_mixed(walk: Walk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for pair in ("BTCUSDT", "ETHUSDT"):
        binance(tmp_path / f"{pair}-1h-2021-01.zip", walk(10), 10**3)
    files = sorted(map(str, tmp_path.glob("*.zip")))
    assert main(["import", *files, "--out", str(tmp_path / "x.csv")]) == 2
    assert "is of another market than" in capsys.readouterr().err
