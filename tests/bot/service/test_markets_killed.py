"""Killed in the middle of one market's bar and started again, the ledger is that of a daemon nobody disturbed."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.clock import read_clock
from bot.ledger import open_reader, verify
from bot.model import save_model
from bot.simulator import LoopbackExchange, beside, generate_candles, market_tables
from tests.campaign import everything, url_of
from tests.forks import Forks
from tests.harness import HOUR, Rows, model_of

CANDLES = generate_candles(120, 3, holes=0.0, quiet=0.0)
FIRST = CANDLES[60].bar_time
LATER = 3
MODEL = model_of(11)  # trades at the first bar, and often
POINTS = ("decided", "insert accounts", "insert decisions", "insert states", "before commit", "after commit")
QUICK = {("insert decisions", 3), ("before commit", 1), ("after commit", 3)}


@dataclass
class Workshop:
    """An exchange with three markets, processes, and what a daemon writes that nothing disturbs."""

    exchange: LoopbackExchange
    forks: Forks
    folder: Path
    rows: Rows

    def poll(self, ledger: Path, bar_time: int, *killer: str) -> int:
        """`run --once` when the bar of that time has just closed."""
        clock = f"@{bar_time + HOUR + 60}x20"
        self.exchange.clock = read_clock(clock)
        environment = {
            "HOURHAND_CLOCK": clock,
            "HOURHAND_CONFIG": str(self.folder / "bot.toml"),
            "HOURHAND_EXCHANGE__BASE_URL": self.exchange.url,
            "HOURHAND_LEDGER__URL": url_of(ledger),
            "HOURHAND_POLICY__MODEL": str(self.folder / "model"),
            "HOURHAND_SCHEDULE__CATCH_UP": "trade",
            "HOURHAND_SCHEDULE__WARMUP_BARS": "20",
        }
        return self.forks.run("run", "--once", "--json", environment=environment, killer=killer)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("killed")
    save_model(MODEL, folder / "model")
    (folder / "bot.toml").write_text(market_tables(["ETH/USD", "LTC/USD"]))
    others = beside(CANDLES, 3, 5, HOUR)
    with (
        LoopbackExchange(CANDLES, read_clock(f"@{FIRST}"), others=others) as exchange,
        Forks(folder / "log") as forks,
    ):
        made = Workshop(exchange, forks, folder, {})
        ledger = folder / "undisturbed.sqlite"
        assert made.poll(ledger, FIRST) == 0
        assert made.poll(ledger, FIRST + LATER * HOUR) == 0
        made.rows = everything(ledger)
        yield made


@pytest.mark.parametrize(
    ("point", "bar"),
    [
        pytest.param(point, bar, marks=() if (point, bar) in QUICK else pytest.mark.slow)
        for point in POINTS
        for bar in (1, 3)
    ],
)
def test_killed_in_a_markets_bar(workshop: Workshop, tmp_path: Path, point: str, bar: int) -> None:
    """The first bars of all three, then those of the hours after."""
    ledger = tmp_path / "ledger.sqlite"
    assert workshop.poll(ledger, FIRST, "--point", point, "--bar", str(bar)) == -signal.SIGKILL
    assert workshop.poll(ledger, FIRST) == 0
    if point != "insert accounts":
        killed = workshop.poll(ledger, FIRST + LATER * HOUR, "--point", point, "--bar", str(bar + 2))
        assert killed == -signal.SIGKILL
    assert workshop.poll(ledger, FIRST + LATER * HOUR) == 0
    left = everything(ledger)
    assert left == workshop.rows
    assert len(left["decisions"]) == 3 * (LATER + 1)
    reader = open_reader(url_of(ledger))
    with reader.reading() as connection:
        assert verify(connection).differences == []
    reader.close()
