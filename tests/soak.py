"""`python -m tests.soak --bars N`: a daemon through N simulated hours (a year) while faults come and go at random;
afterwards every hour is decided, on the exchange's own candle, and `verify` derives every row again.
"""

import argparse
import json
import os
import random
import resource
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select

from bot.clock import Clock, read_clock
from bot.ledger import open_reader, tables, verify
from bot.model import Model, registry, save_model
from bot.simulator import LoopbackExchange, generate_candles
from bot.simulator.faults import Fault
from tests.forks import Forks, fast_daemon
from tests.harness import HOUR, model_of

BARS_A_SECOND: Final = 10.0
WARMUP: Final = 100
DOWN: Final = ("refused", "reset", "500", "503", "maintenance", "429", "incomplete")
WRONG: Final = ("html", "empty", "null", "truncated", "nan", "wrong_types", "negative_price", "misaligned", "future")
SLOW: Final = ("timeout", "trickle", "trickle_headers")
_QUIET, _LASTING = (0.3, 2.0), (0.2, 1.5)  # seconds between two faults, and of each
_CATCH_UP: Final = 60.0  # seconds for what is left to decide once the last fault is over
_ROOM: Final = 2**18  # bytes that a file may have when the disk is "full"


@dataclass
class Soak:
    """A daemon, its exchange, and what is done to them."""

    folder: Path
    clock: str
    exchange: LoopbackExchange
    daemon: Forks
    chance: random.Random
    models: list[Model]
    counts: Counter[str] = field(default_factory=Counter)
    ended: list[int] = field(default_factory=list)

    @property
    def ledger(self) -> Path:
        """The daemon's ledger."""
        return self.folder / "ledger.sqlite"

    @property
    def pointer(self) -> Path:
        """The registry's pointer."""
        return self.folder / "models" / "current"

    def start(self, clock: str | None = None) -> None:
        """Start the daemon, on another clock if one is given."""
        self.daemon.log.write_text("")  # so that a limit on files hits the ledger, and not the log
        environment = fast_daemon(clock or self.clock, self.exchange.url, self.ledger, self.pointer, WARMUP)
        self.daemon.start("run", environment=environment | {"HOURHAND_EXCHANGE__TIMEOUT_SECONDS": "1"})

    def inflict(self, kind: str) -> None:
        """One fault: switched on, left for a moment, and off again."""
        self.counts[kind] += 1
        seconds = self.chance.uniform(*_LASTING)
        match kind:
            case "exchange_down" | "exchange_wrong" | "exchange_slow":
                names = {"exchange_down": DOWN, "exchange_wrong": WRONG, "exchange_slow": SLOW}[kind]
                self.exchange.fault = Fault(self.chance.choice(names), self.chance.choice(("candles", "all")))
                time.sleep(seconds)
                self.exchange.fault = None
            case "disk_full":
                self.daemon.log.write_text("")
                resource.prlimit(self.daemon.pid, resource.RLIMIT_FSIZE, (_ROOM, resource.RLIM_INFINITY))
                time.sleep(seconds)
                resource.prlimit(
                    self.daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                )
            case "locked":
                self._lock(seconds)
            case "stopped":
                os.kill(self.daemon.pid, signal.SIGSTOP)
                time.sleep(seconds)
                os.kill(self.daemon.pid, signal.SIGCONT)
            case "killed":
                self.daemon.kill()
                self.start()
            case "clock_stepped":
                self.daemon.kill()
                start, speed, since = self.clock.removeprefix("@").replace("x", "@").split("@")
                step = self.chance.choice((-2, 2)) * HOUR
                self.start(f"@{float(start) + step:.0f}x{speed}@{since}")
                time.sleep(seconds)
                self.daemon.kill()
                self.start()
            case "promoted":
                model = self.chance.choice(self.models)
                registry.promote(self.pointer, model.model_id, self.exchange.clock.now())

    def _lock(self, seconds: float) -> None:
        connection = sqlite3.connect(self.ledger, timeout=10, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    def restart_if_ended(self) -> None:
        """A daemon that a fault has ended is a failure; it is started again to see the rest."""
        status = Path(f"/proc/{self.daemon.pid}/stat")
        if not status.exists() or status.read_text().rpartition(") ")[2].startswith("Z"):
            self.ended.append(self.daemon.wait())
            self.start()

    def decided(self) -> list[int]:
        """The open times of the bars that are decided, in order."""
        ledger = open_reader(f"sqlite:///{self.ledger}")
        try:
            with ledger.reading() as connection:
                query = select(tables.decisions.c.bar_time).order_by(tables.decisions.c.bar_time)
                return list(connection.execute(query).scalars())
        finally:
            ledger.close()

    def wait_for(self, bar_time: int) -> None:
        """Wait until the bar of that time is decided, or the patience is over."""
        deadline = time.monotonic() + _CATCH_UP
        while time.monotonic() < deadline:
            self.restart_if_ended()
            if self.ledger.exists() and (bars := _tried(self.decided)) and bars[-1] >= bar_time:
                return
            time.sleep(0.1)

    def usage(self) -> dict[str, int]:
        """Resident memory in MB and open descriptors of the daemon."""
        process = Path(f"/proc/{self.daemon.pid}")
        pages = int((process / "statm").read_text().split()[1])
        return {
            "memory_mb": pages * resource.getpagesize() // 2**20,
            "descriptors": len(list((process / "fd").iterdir())),
        }


KINDS: Final = (
    "exchange_down", "exchange_wrong", "exchange_slow", "disk_full", "locked", "stopped", "killed", "clock_stepped",
    "promoted",
)  # fmt: skip
_RESTARTING: Final = {"killed", "clock_stepped"}  # only in the first half, so that the last life is long


def _tried(read: Callable[[], list[int]]) -> list[int]:
    try:
        return read()
    except Exception:  # noqa: BLE001 - the ledger is being made, or full: read again
        return []


def soak(
    bars: int, seed: int, folder: Path, progress: Callable[[int], object] = lambda _faults: None
) -> dict[str, Any]:
    """`bars` hours under faults. `bars_lost` counts hours without a decision, `differences` rows that `verify` derives
    otherwise and candles that are not the exchange's, `ended` lists the exit codes of daemons that a fault ended.
    """
    chance = random.Random(seed)
    candles = generate_candles(WARMUP + bars + 3000, seed, holes=0.0)
    start = candles[WARMUP + 50].bar_time
    clock = f"@{start}x{HOUR * BARS_A_SECOND:.0f}@{time.time():f}"
    models = [model_of(number) for number in range(4)]
    with LoopbackExchange(candles, read_clock(clock)) as exchange, Forks(folder / "log") as daemon:
        made = Soak(folder, clock, exchange, daemon, chance, models)
        for model in models:
            save_model(model, folder / "models" / model.model_id)
        registry.promote(made.pointer, models[0].model_id, start)
        made.start()
        made.wait_for(start)
        before = made.usage()
        first = exchange.clock.now()
        last = int((first + bars * HOUR) // HOUR * HOUR)
        _torment(made, first, last, progress)
        made.wait_for(last)
        after = made.usage()
        code = daemon.kill(signal.SIGTERM)
    return _judged(made) | {"exit_code": code, "start": before, "end": after}


def _torment(made: Soak, first: float, last: float, progress: Callable[[int], object]) -> None:
    clock: Clock = made.exchange.clock
    deck: list[str] = []
    while clock.now() < last:
        time.sleep(made.chance.uniform(*_QUIET))
        made.restart_if_ended()
        if not deck:  # dealt from its end: what restarts the daemon first, so that a short soak has it too
            deck = sorted(made.chance.sample(KINDS, len(KINDS)), key=_RESTARTING.__contains__)
        kind = deck.pop()
        if kind not in _RESTARTING or clock.now() < (first + last) / 2:
            made.inflict(kind)
            progress(made.counts.total())


def _judged(made: Soak) -> dict[str, Any]:
    bars = made.decided()
    served = {candle.bar_time: tuple(candle[1:6]) for candle in made.exchange.candles}
    ledger = open_reader(f"sqlite:///{made.ledger}")
    with ledger.reading() as connection:
        verdict = verify(connection)
        rows = connection.execute(select(tables.candles)).all()
        events = Counter(connection.execute(select(tables.events.c.kind)).scalars())
    ledger.close()
    foreign = sum(tuple(row[2:7]) != served.get(row[1]) for row in rows)
    return {
        "bars": len(bars),
        "faults": dict(sorted(made.counts.items())),
        "bars_lost": (bars[-1] - bars[0]) // HOUR + 1 - len(bars),
        "differences": len(verdict.differences) + foreign,
        "ended": made.ended,
        "events": dict(sorted(events.items())),
    }


def main() -> int:
    """Run a soak and print what came of it; 1 where something was lost, differed or ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=8760, metavar="N", help="hours to live through (8760, a year)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of candles, faults and moments (0)")
    parsed_args = parser.parse_args()

    def show(faults: int) -> None:
        print(f"\r{faults} faults", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        result = soak(parsed_args.bars, parsed_args.seed, Path(folder), show)
    print(file=sys.stderr)
    print(json.dumps(result))
    return int(bool(result["bars_lost"] or result["differences"] or result["ended"] or result["exit_code"]))


if __name__ == "__main__":
    sys.exit(main())
