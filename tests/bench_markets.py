"""`python -m tests.bench_markets`: memory and time of a daemon with 1, 10 and 50 markets."""

import logging
import sys
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import structlog

from bot.clock import Clock
from bot.ledger import open_writer
from bot.model import SHIPPED_POINTER
from bot.service import Markets, TraderWatcher, Waiter, poll_once
from bot.settings import load_settings
from bot.simulator import LoopbackExchange, beside, generate_candles, market_tables, symbols
from tests.harness import resident

COUNTS = (1, 10, 50)
WARMUP = 500
POLLS = 48
HOUR = 3600
FAST = 1e5  # the exchange's pace is in seconds of the clock


def main() -> None:
    """Print a line for each number of markets."""
    candles = generate_candles(WARMUP + POLLS + 60, 1, holes=0.0)
    others = beside(candles, max(COUNTS), 1, HOUR)
    context = get_context("spawn")
    now = context.Value("d", 0.0)
    clock = Clock(source=lambda: now.value, simulated=True)
    with tempfile.TemporaryDirectory() as folder, LoopbackExchange(candles, clock, others=others) as exchange:
        for count in COUNTS:
            now.value = candles[WARMUP + 40].bar_time + HOUR + 30.0
            child = context.Process(target=_daemon, args=(count, exchange.url, Path(folder), now))
            child.start()
            child.join()


def _daemon(count: int, url: str, folder: Path, now: "Synchronized[float]") -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    file = folder / f"{count}.toml"
    file.write_text(market_tables(symbols(count)[1:]))
    environment = {
        "HOURHAND_EXCHANGE__BASE_URL": url,
        "HOURHAND_LEDGER__URL": f"sqlite:///{folder / f'{count}.sqlite'}",
        "HOURHAND_POLICY__MODEL": str(SHIPPED_POINTER),
        "HOURHAND_SCHEDULE__WARMUP_BARS": str(WARMUP),
    }
    settings = load_settings(file, environment)
    clock = Clock(speed=FAST, source=lambda: now.value / FAST, simulated=True)
    ledger = open_writer(settings.ledger.url)
    markets, waiter = Markets(TraderWatcher(settings), clock, ledger), Waiter()
    times = []
    for _ in range(POLLS):
        began = time.perf_counter()
        attempts = poll_once([market.poller for market in markets], waiter)
        times.append(time.perf_counter() - began)
        assert all(attempt.error is None for attempt in attempts)
        now.value += HOUR
    ledger.close()
    usual = 1000 * sorted(times[1:])[len(times) // 2]
    print(
        f"{count} {'market' if count == 1 else 'markets'}: {resident():.0f} MB resident after {POLLS} polls, "
        f"a poll of all in {usual:.0f} ms ({usual / count:.1f} ms a market) without the exchange's pace",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
