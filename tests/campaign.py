"""`python -m tests.campaign --kills N`: the daemon is killed with SIGKILL at N random moments and started again, and
its ledger is then that of a replay of the same candles.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bot.clock import read_clock
from bot.ledger import open_reader, open_writer, verify
from bot.ledger.reading import read_events
from bot.market import Candle, fill_gaps, find_gaps
from bot.service import replay_candles
from bot.simulator import LoopbackExchange, generate_candles
from bot.trading import AccountTerms, Trader
from tests.forks import Forks, fast_daemon
from tests.harness import HOUR, Rows, all_rows, busy_model, busy_model_folder

WARMUP = 500
BARS_A_SECOND = 100.0
LONGEST_LIFE = 0.3  # seconds
WHILE_STARTING = 0.25  # this share of the kills


def campaign(
    kills: int, seed: int, folder: Path, progress: Callable[[int], object] = lambda _kills: None
) -> dict[str, Any]:
    """Kill a daemon at `kills` random moments, a quarter of them counted from its start and the others from its first
    bar; `differences` names the tables in which its ledger is not that of a replay.

    The clock runs so fast that there is always a bar to be decided; candles are traded on however old they are, so
    that the rows depend on nothing but the candles.
    """
    chance = random.Random(seed)
    bars = WARMUP + 200 + int(kills * (1 + LONGEST_LIFE) * BARS_A_SECOND)
    candles = generate_candles(bars, seed, holes=0.004)
    start = candles[WARMUP + 100].bar_time
    clock = f"@{start}x{HOUR * BARS_A_SECOND:.0f}@{time.time():f}"
    ledger = folder / "killed.sqlite"
    log = folder / "log"
    with LoopbackExchange(candles, read_clock(clock)) as exchange, Forks(log) as forks:
        environment = fast_daemon(clock, exchange.url, ledger, busy_model_folder(), WARMUP)
        for number in range(kills):
            logged = log.stat().st_size
            forks.start("run", environment=environment)
            if chance.random() > WHILE_STARTING:
                _await_bar(log, logged)
            time.sleep(chance.uniform(0.0, LONGEST_LIFE))
            if forks.kill() != -signal.SIGKILL:
                raise SystemExit(f"the daemon ended by itself: {log.read_text()[-2000:]}")
            progress(number + 1)
        now = min(exchange.clock.now(), candles[-1].bar_time + 1.5 * HOUR)
        still = f"@{now:.0f}"
        exchange.clock = read_clock(still)
        code = forks.run("run", "--once", "--json", environment=environment | {"HOURHAND_CLOCK": still})
        if code:
            raise SystemExit(f"the last run ended with {code}: {(folder / 'log').read_text()[-2000:]}")
    killed = everything(ledger)
    expected = _replayed(candles, killed, folder / "replayed.sqlite")
    return {
        "kills": kills,
        "bars": len(killed["decisions"]),
        "trades": len(killed["fills"]),
        "differences": [table for table in expected if expected[table] != killed[table]],
        "verify_differences": _verified(ledger),
    }


def url_of(file: Path) -> str:
    """The ledger's URL."""
    return f"sqlite:///{file}"


def everything(file: Path) -> Rows:
    """Every row of a ledger that a bar writes; of events, `gap` without when it was noticed."""
    ledger = open_reader(url_of(file))
    with ledger.reading() as connection:
        gaps = [tuple(gap.items()) for gap in read_events(connection, "gap")]
    rows = all_rows(ledger) | {"gaps": gaps}
    ledger.close()
    return rows


def _await_bar(log: Path, logged: int) -> None:
    """Until the daemon's log has a bar after its first `logged` bytes. It may be
    slow at the start of a page of candles, or have none left: then a life without a bar is what is killed.
    """
    deadline = time.monotonic() + 30  # a busy machine takes its time to start a daemon
    while b'"event": "bar"' not in log.read_bytes()[logged:] and time.monotonic() < deadline:
        time.sleep(0.005)


def _replayed(candles: Sequence[Candle], killed: Rows, file: Path) -> Rows:
    """The rows of an undisturbed replay over the same hours. Holes are filled first, as the ledger's first candle,
    which depends on the moment of the first poll, may be one.
    """
    first, last = (int(str(killed["candles"][place][1])) for place in (0, -1))
    run = [candle for candle in fill_gaps(candles, HOUR) if first <= candle.bar_time <= last]
    ledger = open_writer(url_of(file))
    trader = Trader(AccountTerms("main", "bitfinex:BTC/USD:1h"), busy_model(), "sample")
    replay_candles(ledger, trader, run, len(run) - len(killed["decisions"]))
    ledger.close()
    gaps = [(("bar_time", at), ("bars", bars)) for at, bars in find_gaps(candles, HOUR) if first <= at <= last]
    return everything(file) | {"gaps": gaps}


def _verified(file: Path) -> int:
    ledger = open_reader(url_of(file))
    with ledger.reading() as connection:
        found = verify(connection).differences
    ledger.close()
    return len(found)


def main() -> int:
    """Run a campaign and print what came of it; 1 where a ledger differed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="how many (200)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of candles and moments (0)")
    parsed_args = parser.parse_args()

    def show(kills: int) -> None:
        print(f"\r{kills} of {parsed_args.kills} kills", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        result = campaign(parsed_args.kills, parsed_args.seed, Path(folder), show)
    print(file=sys.stderr)
    print(json.dumps(result))
    return int(bool(result["differences"] or result["verify_differences"]))


if __name__ == "__main__":
    sys.exit(main())
