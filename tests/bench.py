"""`make bench`: how fast and how small the daemon is. Figures of this machine, printed; nothing is asserted."""

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import structlog

from bot.clock import Clock
from bot.ledger import commit_bars, open_writer, resume_account
from bot.market import Candle, Feed
from bot.service import Poller, replay_candles
from bot.settings import Settings, load_settings
from bot.simulator import LoopbackExchange, generate_candles
from bot.trading import AccountTerms, Trader, terms_of
from tests import bench_markets, bench_models
from tests.harness import busy_model, poll, resident

BARS = 10_000
WARMUP = 500


def main() -> None:
    """Print every figure."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        candles = generate_candles(BARS + WARMUP + 100, 1)
        _latency(here, candles)
        _replay(here, candles)
        with _exchange(candles) as (exchange, now):
            settings = _settings(exchange.url, here / "daemon.sqlite")
            context = get_context("spawn")
            child = context.Process(target=_daemon, args=(settings, now, BARS))
            child.start()
            child.join()
            _ready(settings, now.value)
        _status(here / "daemon.sqlite")
    bench_models.main()
    bench_markets.main()


def _settings(url: str, ledger: Path) -> dict[str, str]:
    return {
        "HOURHAND_EXCHANGE__BASE_URL": url,
        "HOURHAND_LEDGER__URL": f"sqlite:///{ledger}",
        "HOURHAND_SCHEDULE__WARMUP_BARS": str(WARMUP),
    }


@contextmanager
def _exchange(candles: list[Candle]) -> "Iterator[tuple[LoopbackExchange, Synchronized[float]]]":
    now = get_context("spawn").Value("d", candles[WARMUP].bar_time + 3600.0)
    with LoopbackExchange(candles, Clock(source=lambda: now.value, simulated=True)) as exchange:
        yield exchange, now


def _trader(settings: Settings) -> Trader:
    return Trader(terms_of(settings), busy_model())


def _latency(here: Path, candles: list[Candle]) -> None:
    ledger = open_writer(f"sqlite:///{here / 'latency.sqlite'}")
    trader = Trader(AccountTerms("main", "bench:BTC/USD:1h"), busy_model())
    replay_candles(ledger, trader, candles[:WARMUP], WARMUP - 1)
    with ledger.reading() as connection:
        account = resume_account(connection, trader, WARMUP)
    times = []
    for candle in candles[WARMUP : WARMUP + 500]:
        first = time.perf_counter()
        entry = account.decide(candle)
        with ledger.writing() as connection:
            commit_bars(connection, [candle], [entry])
        times.append(1000 * (time.perf_counter() - first))
        account = account.after(entry)
    ledger.close()
    ordered = sorted(times)
    print(
        f"parsed candle to committed bar, synchronous=FULL: median {statistics.median(times):.1f} ms, "
        f"95 % within {ordered[int(0.95 * len(ordered))]:.1f} ms"
    )


def _replay(here: Path, candles: list[Candle]) -> None:
    ledger = open_writer(f"sqlite:///{here / 'replay.sqlite'}")
    trader = Trader(AccountTerms("main", "bench:BTC/USD:1h"), busy_model())
    result = replay_candles(ledger, trader, candles, WARMUP)
    ledger.close()
    print(f"replay, ledger included: {result['bars_per_second']:,} bars/s over {result['bars']:,} bars")


def _daemon(environment: dict[str, str], now: "Synchronized[float]", bars: int) -> None:
    """A poller as `run` builds it, on a clock that moves on by an hour a poll."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    settings = load_settings(None, environment)
    clock = Clock(source=lambda: now.value, simulated=True)
    ledger = open_writer(settings.ledger.url)
    poller = Poller(settings, clock, ledger, [_trader(settings)], Feed(settings.exchange, clock))
    early = 0.0
    first = time.perf_counter()
    for bar in range(bars):
        poll(poller)
        now.value += 3600
        if bar == bars // 10:
            early = resident()
    seconds = time.perf_counter() - first
    ledger.close()
    print(
        f"resident memory of a daemon: {early:.0f} MB after {bars // 10:,} polls, {resident():.0f} MB after {bars:,}"
        f" ({1000 * seconds / bars:.1f} ms a poll)",
        flush=True,
    )


def _ready(environment: dict[str, str], now: float) -> None:
    times = []
    for _ in range(5):
        first = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "bot", "run"],
            env=os.environ | environment | {"HOURHAND_CLOCK": f"@{now}"},
            stderr=subprocess.PIPE,
            text=True,
        ) as daemon:
            assert daemon.stderr is not None
            next(line for line in daemon.stderr if '"started"' in line)
            times.append(time.perf_counter() - first)
            daemon.terminate()
            daemon.stderr.read()
    print(f"from start to ready: median of {len(times)} {statistics.median(times):.2f} s")


def _status(ledger: Path) -> None:
    times = []
    for _ in range(5):
        first = time.perf_counter()
        command = [sys.executable, "-m", "bot", "status", "--json"]
        subprocess.run(
            command, env=os.environ | {"HOURHAND_LEDGER__URL": f"sqlite:///{ledger}"}, check=True, capture_output=True
        )
        times.append(time.perf_counter() - first)
    print(f"hourhand status: median of {len(times)} {statistics.median(times):.2f} s")


if __name__ == "__main__":
    main()
