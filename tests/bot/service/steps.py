"""The daemon's loop in a test: one step each time that it would wait, on a clock that the test moves."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from bot.ledger import open_writer
from bot.market import Feed
from bot.model import save_model
from bot.service import Markets, TraderWatcher, loop, market, run
from bot.simulator.generate import START
from tests.harness import HOUR, InlineWaiter, World, model_of, world_of


class Steps(InlineWaiter):
    """Instead of waiting, does the next thing of a list, and stops after the last."""

    def __init__(self, *steps: object) -> None:
        super().__init__()
        self.steps = list(steps)

    def wait(self, _seconds: float) -> None:
        if not self.steps:
            self.stop()
            return
        step = self.steps.pop(0)
        if callable(step):
            step()


def daemon(world: World, *steps: object) -> Markets:
    """Run the daemon's loop from the 31st hour on, one step each time that it would wait."""
    if not (world.folder / "model").exists():
        save_model(model_of(1), world.folder / "model")
    settings = world.settings(policy={"model": str(world.folder / "model")})
    watcher = TraderWatcher(settings)
    ledger = open_writer(settings.ledger.url)
    feed = Feed(settings.exchange, world.dial.clock)
    markets = Markets(watcher, world.dial.clock, ledger, lambda _: feed)
    try:
        run(markets, 20.0, Steps(*steps))
    finally:
        markets.ledger.close()
    return markets


@contextmanager
def stepped_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose dial is the machine's monotonic clock, too."""
    with world_of(tmp_path) as made:
        for module in (loop, market):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=made.dial))
        set_hour(made, 30)
        yield made


def set_hour(world: World, hour: int) -> None:
    """The bar of that hour has closed 30 s ago."""
    world.dial.now = START + (hour + 1) * HOUR + 30.0


def decided_hours(world: World) -> list[int]:
    """The hours of the bars in the ledger."""
    return [(row[1] - START) // HOUR for row in world.rows()["decisions"]]
