"""Killed at any point of a bar and started again, the daemon leaves the ledger of one that was never disturbed."""

import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.clock import read_clock
from bot.model import save_model
from bot.simulator import LoopbackExchange, generate_candles
from bot.simulator.kill import POINTS
from tests.campaign import campaign, everything, url_of
from tests.forks import Forks
from tests.harness import HOUR, Rows, model_of

WARMUP = 60
LATER = 16
CANDLES = generate_candles(200, 3, holes=0.0)
FIRST = CANDLES[103].bar_time
HOLES = (FIRST - 10 * HOUR, FIRST + 5 * HOUR, FIRST + 6 * HOUR)
LATER_POINTS = [
    (kind, point)
    for kind, lacks in {"fill": "insert events", "gap": "insert fills"}.items()
    for point in POINTS
    if point not in {"insert models", "insert accounts", lacks}
]
MODEL = model_of(11)  # trades at the first bar, and often


@dataclass
class Workshop:
    """An exchange, processes, and two ledgers that nothing disturbed: after the first bar, and some bars later."""

    exchange: LoopbackExchange
    forks: Forks
    folder: Path
    first: Rows
    later: Rows

    def poll(self, ledger: Path, bar_time: int, *killer: str) -> int:
        """`run --once` when the bar of that time has just closed."""
        clock = f"@{bar_time + HOUR + 60}"
        self.exchange.clock = read_clock(clock)
        environment = {
            "HOURHAND_CLOCK": clock,
            "HOURHAND_EXCHANGE__BASE_URL": self.exchange.url,
            "HOURHAND_LEDGER__URL": url_of(ledger),
            "HOURHAND_POLICY__MODEL": str(self.folder / "model"),
            "HOURHAND_SCHEDULE__CATCH_UP": "trade",
            "HOURHAND_SCHEDULE__WARMUP_BARS": str(WARMUP),
        }
        return self.forks.run("run", "--once", "--json", environment=environment, killer=killer)

    def start(self, ledger: Path) -> None:
        """A ledger that holds the first bar."""
        shutil.copy(self.folder / "first.sqlite", ledger)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("exactly_once")
    save_model(MODEL, folder / "model")
    candles = [candle for candle in CANDLES if candle.bar_time not in HOLES]
    with LoopbackExchange(candles, read_clock(f"@{FIRST}")) as exchange, Forks(folder / "log") as forks:
        made = Workshop(exchange, forks, folder, {}, {})
        ledger = folder / "undisturbed.sqlite"
        assert made.poll(ledger, FIRST) == 0
        made.first = everything(ledger)
        shutil.copy(ledger, folder / "first.sqlite")
        assert made.poll(ledger, FIRST + LATER * HOUR) == 0
        made.later = everything(ledger)
        yield made


def test_the_undisturbed_run_has_what_there_is_to_lose(workshop: Workshop) -> None:
    decided = [row[1] for row in workshop.later["decisions"]]
    assert decided == list(range(FIRST, FIRST + (LATER + 1) * HOUR, HOUR))
    assert len(workshop.first["candles"]) == WARMUP + 1
    assert [row[1] for row in workshop.first["fills"]] == [FIRST]
    assert len(workshop.first["gaps"]) == 1
    assert len(workshop.later["gaps"]) == 2
    assert len(workshop.later["fills"]) > 1


@pytest.mark.parametrize("point", POINTS)
def test_killed_in_the_first_bar_of_a_fresh_ledger(workshop: Workshop, tmp_path: Path, point: str) -> None:
    ledger = tmp_path / "ledger.sqlite"
    assert workshop.poll(ledger, FIRST, "--point", point, "--bar", "1") == -signal.SIGKILL
    left = everything(ledger)
    assert left == (workshop.first if _is_committed(point) else {table: [] for table in left})
    assert workshop.poll(ledger, FIRST) == 0
    assert everything(ledger) == workshop.first


@pytest.mark.parametrize(("kind", "point"), LATER_POINTS)
def test_killed_in_a_later_bar(workshop: Workshop, tmp_path: Path, kind: str, point: str) -> None:
    bar_time = HOLES[1] if kind == "gap" else workshop.later["fills"][1][1]
    bar = (bar_time - FIRST) // HOUR
    ledger = tmp_path / "ledger.sqlite"
    workshop.start(ledger)
    end = FIRST + LATER * HOUR
    assert workshop.poll(ledger, end, "--point", point, "--bar", str(bar)) == -signal.SIGKILL
    decisions = everything(ledger)["decisions"]
    assert decisions == workshop.later["decisions"][: bar + _is_committed(point)]
    assert workshop.poll(ledger, end) == 0
    assert everything(ledger) == workshop.later


def test_killed_at_random_moments(tmp_path: Path) -> None:
    report = campaign(kills=12, seed=1, folder=tmp_path)
    assert report["kills"] == 12
    assert report["differences"] == []
    assert report["verify_differences"] == 0
    assert report["bars"] > 100


def _is_committed(point: str) -> bool:
    return POINTS.index(point) >= POINTS.index("after commit")
