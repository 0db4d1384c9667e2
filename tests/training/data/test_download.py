"""Downloads from the loopback exchange: real HTTP, the unmodified client of ccxt, two pages of candles."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.clock import Clock
from bot.errors import ExchangeError, UsageError
from bot.market import Candle, Feed, find_gaps
from bot.settings import ExchangeSettings
from bot.simulator import LoopbackExchange, generate_candles
from bot.simulator.faults import Fault
from bot.simulator.generate import START
from training.cli import main
from training.data import Origin, download_candles, read_file, write_file

HOUR = 3600
BARS = 12_000
CANDLES = generate_candles(BARS, seed=3, holes=0.001)
NOW = START + (BARS - 10) * HOUR + 1800
CLOSED = [candle for candle in CANDLES if candle.bar_time + HOUR <= NOW]
END = NOW - 1800
HERE = Origin("bitfinex", "BTC/USD", "1h")


@pytest.fixture(scope="module")
def shared() -> Iterator[LoopbackExchange]:
    with LoopbackExchange(CANDLES, Clock(start=NOW, source=lambda: 0.0, simulated=True)) as exchange:
        yield exchange


@pytest.fixture
def exchange(shared: LoopbackExchange, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackExchange]:
    monkeypatch.setenv("HOURHAND_EXCHANGE__BASE_URL", shared.url)
    monkeypatch.setenv("HOURHAND_CLOCK", f"@{NOW}x0.000001")
    shared.requests.clear()
    yield shared
    shared.fault = None


def feed_of(exchange: LoopbackExchange) -> Feed:
    return Feed(ExchangeSettings(base_url=exchange.url, timeout_seconds=5.0), exchange.clock)


def fetched(
    exchange: LoopbackExchange, path: Path, since: int = START, until: int = END, **options: Any
) -> list[Candle]:
    keywords = {"progress": lambda _: None, "wait": lambda _: None} | options
    return download_candles(feed_of(exchange), path, HERE, since, until, **keywords)


def count_until(hours: int) -> int:
    return sum(candle.bar_time < START + hours * HOUR for candle in CLOSED)


def pages(exchange: LoopbackExchange) -> int:
    return sum(count for path, count in exchange.requests.items() if "/candles/" in path)


def test_the_file_holds_every_closed_candle(
    exchange: LoopbackExchange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "candles.parquet"
    assert main(["download", "--since", "2020-01-01", "--out", str(path), "--json"]) == 0
    candles, origin = read_file(path)
    assert candles == CLOSED
    assert origin == HERE
    result = json.loads(capsys.readouterr().out)
    assert result["missing"] == sum(bars for _, bars in find_gaps(CLOSED, HOUR)) > 0
    assert pages(exchange) == 2


@pytest.mark.usefixtures("exchange")
def test_until_is_exclusive_and_since_inclusive(tmp_path: Path) -> None:
    path = tmp_path / "candles.csv"
    command = ["download", "--since", "2020-01-02", "--until", "2020-01-05", "--out", str(path)]
    assert main(command) == 0
    first, last = START + 24 * HOUR, START + 96 * HOUR
    assert read_file(path)[0] == [candle for candle in CANDLES if first <= candle.bar_time < last]
    assert main(["download", "--since", "2020-01-05", "--until", "2020-01-05", "--out", str(path)]) == 2


def test_a_second_download_fetches_only_what_is_new(exchange: LoopbackExchange, tmp_path: Path) -> None:
    path = tmp_path / "candles.parquet"
    before = fetched(exchange, path, until=START + 11_000 * HOUR)
    exchange.requests.clear()
    assert fetched(exchange, path) == CLOSED
    assert read_file(path)[0] == CLOSED
    assert before == CLOSED[: len(before)]
    assert pages(exchange) == 1
    exchange.requests.clear()
    assert fetched(exchange, path) == CLOSED
    assert pages(exchange) == 0


def test_what_was_fetched_outlives_an_interruption(exchange: LoopbackExchange, tmp_path: Path) -> None:
    path = tmp_path / "candles.parquet"

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched(exchange, path, progress=stop)
    kept, _ = read_file(path)
    assert kept == CLOSED[: len(kept)]
    assert 5_000 < len(kept) < len(CLOSED)
    assert fetched(exchange, path) == CLOSED


@pytest.mark.usefixtures("exchange")
def test_after_a_kill_the_file_is_whole_and_the_rest_is_fetched(tmp_path: Path) -> None:
    path = tmp_path / "candles.parquet"
    script = f"""
import os, signal, sys
from pathlib import Path
from bot import whole
from training.data import download
download.SAVE_EVERY = -1.0
write = whole.os.fsync
def fsync_and_die(file, count=[0]):
    count[0] += 1
    write(file)
    if count[0] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
whole.os.fsync = fsync_and_die
from training.cli import main
main(["download", "--since", "2020-01-01", "--out", {str(path)!r}])
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    kept, _ = read_file(path)
    assert kept == CLOSED[: len(kept)]
    assert 0 < len(kept) < len(CLOSED)
    assert main(["download", "--since", "2020-01-01", "--out", str(path)]) == 0
    assert read_file(path)[0] == CLOSED
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_trouble_that_passes_is_waited_for(exchange: LoopbackExchange, tmp_path: Path) -> None:
    waits: list[float] = []
    exchange.fault = Fault("500", "candles")

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            exchange.fault = None

    assert fetched(exchange, tmp_path / "candles.parquet", wait=wait) == CLOSED
    assert waits == [1.0, 2.0]


def test_a_trouble_that_stays_ends_it_with_6_and_keeps_what_there_was(
    exchange: LoopbackExchange, tmp_path: Path
) -> None:
    path = tmp_path / "candles.parquet"

    def break_down(_: int) -> None:
        exchange.fault = Fault("html", "all")

    waits: list[float] = []
    with pytest.raises(ExchangeError) as failure:
        fetched(exchange, path, progress=break_down, wait=waits.append)
    assert failure.value.exit_code == 6
    assert waits == [1.0, 2.0, 4.0]
    kept, _ = read_file(path)
    assert kept == CLOSED[: len(kept)]


def test_a_refusal_is_not_asked_again(
    exchange: LoopbackExchange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange.fault = Fault("451", "all")
    assert main(["download", "--since", "2020-01-01", "--out", str(tmp_path / "candles.parquet")]) == 6
    assert "refuses" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        (HERE._replace(exchange="kraken"), "another exchange (kraken, not bitfinex)"),
        (HERE._replace(symbol="ETH/USD"), "another symbol"),
        (HERE._replace(timeframe="5m"), "candles of 5m, not of 1h"),
    ],
)
def test_candles_of_another_market_are_not_continued(
    exchange: LoopbackExchange, tmp_path: Path, origin: Origin, said: str
) -> None:
    path = tmp_path / "candles.parquet"
    write_file(path, CANDLES[:5], origin)
    with pytest.raises(UsageError) as refusal:
        fetched(exchange, path)
    assert said in str(refusal.value)
    assert read_file(path)[0] == CANDLES[:5]


def test_a_file_that_begins_later_is_completed_to_the_front(exchange: LoopbackExchange, tmp_path: Path) -> None:
    path = tmp_path / "candles.csv"
    write_file(path, CANDLES[50:60], HERE)
    assert fetched(exchange, path) == CLOSED
    assert read_file(path)[0] == CLOSED


def test_history_that_begins_after_since_is_no_trouble(exchange: LoopbackExchange, tmp_path: Path) -> None:
    path = tmp_path / "candles.parquet"
    early = START - 500 * HOUR
    assert fetched(exchange, path, since=early, until=START + 100 * HOUR) == CLOSED[: count_until(100)]
    assert fetched(exchange, path, since=early) == CLOSED


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--exchange", "nowhere"], "exchange.id"),
        (["--symbol", "BTC/MOON"], "BTC/MOON"),
        (["--timeframe", "7h"], "exchange.timeframe"),
        (["--out", "candles.txt"], "candles are written to"),
    ],
)
@pytest.mark.usefixtures("exchange")
def test_what_the_exchange_does_not_have_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    path = str(tmp_path / "candles.parquet")
    assert main(["download", "--since", "2020-01-01", "--out", path, *words]) == 2
    assert said in capsys.readouterr().err


def test_a_false_clock_meets_no_real_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOURHAND_CLOCK", "@1577836800")
    monkeypatch.delenv("HOURHAND_EXCHANGE__BASE_URL", raising=False)
    assert main(["download", "--since", "2019-01-01", "--out", str(tmp_path / "candles.csv")]) == 2
    assert "base_url" in capsys.readouterr().err
