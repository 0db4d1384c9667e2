"""Several markets on one loopback exchange, for tests of the daemon and of the commands."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bot.clock import Clock
from bot.ledger import open_reader, open_writer, verify
from bot.model import registry, save_model
from bot.service import Attempt, Markets, TraderWatcher, Waiter, poll_once
from bot.settings import Settings
from bot.simulator import LoopbackExchange, beside, generate_candles
from bot.simulator.generate import START
from tests.harness import HOUR, Dial, Rows, model_of, rows_at

CANDLES = generate_candles(200, seed=3, holes=0.0, quiet=0.0)
MODELS = [model_of(seed) for seed in range(4)]


@dataclass
class Exchanges:
    """A loopback exchange with several symbols, a clock that the test moves, and a folder for ledger and models."""

    exchange: LoopbackExchange
    dial: Dial
    folder: Path
    speed: float = 1000.0

    @property
    def clock(self) -> Clock:
        """A fast clock, so that the exchange's pace takes no time."""
        return Clock(speed=self.speed, source=lambda: self.dial.now / self.speed, simulated=True)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/ledger.sqlite"

    def settings(self, *markets: Mapping[str, Any], **sections: Any) -> Settings:
        """BTC/USD first, then the given markets; a name alone is a symbol's base."""
        defaults = {
            "exchange": {"base_url": self.exchange.url, "timeout_seconds": 2.0},
            "policy": {"model": str(self.folder / "models" / "current")},
            "schedule": {"warmup_bars": 20},
            "ledger": {"url": self.url},
            "markets": list(markets),
        }
        return msgspec.convert(defaults | sections, Settings)

    def poll(self, settings: Settings, hour: int) -> dict[str, Attempt]:
        """`run --once` when that hour has closed; what became of each market."""
        self.dial.now = START + (hour + 1) * HOUR + 30.0
        ledger = open_writer(settings.ledger.url)
        try:
            markets = Markets(TraderWatcher(settings), self.clock, ledger)
            attempts = poll_once([market.poller for market in markets], Waiter())
            return {attempt.poller.name: attempt for attempt in attempts}
        finally:
            ledger.close()

    def hours(self, account: str) -> list[int]:
        """The hours that the account has decided."""
        return [(row[1] - START) // HOUR for row in self.rows()["decisions"] if row[0] == account]

    def rows(self) -> Rows:
        return rows_at(self.url)

    def proven(self) -> int:
        ledger = open_reader(self.url)
        with ledger.reading() as connection:
            verdict = verify(connection)
        ledger.close()
        assert verdict.differences == []
        return verdict.bars


@contextmanager
def exchanges(folder: Path, count: int) -> Iterator[Exchanges]:
    dial = Dial(float(START))
    for model in MODELS:
        save_model(model, folder / "models" / model.model_id)
    registry.promote(folder / "models" / "current", MODELS[0].model_id, 1.0)
    with LoopbackExchange(CANDLES, dial.clock, others=beside(CANDLES, count, 7, HOUR)) as exchange:
        yield Exchanges(exchange, dial, folder)


def named(*bases: str) -> list[dict[str, Any]]:
    return [{"name": base, "symbol": f"{base.upper()}/USD", "initial_share": 0.5} for base in bases]
