"""A daemon that notifies: no bar waits for a receiver that hangs, and nothing is left unsent at its end."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.clock import Clock
from bot.errors import ModelError
from bot.ledger import open_writer
from bot.market import Feed
from bot.model import save_model
from bot.observers import Observers
from bot.observers.notifications import Notifier
from bot.service import Markets, TraderWatcher, Waiter, run
from bot.simulator.generate import START
from tests.bot.observers.conftest import WAIT, Receiver
from tests.harness import HOUR, World, events_at, hourhand, model_of, world_of

# Apprise imports a module that Python 3.11 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

BUYS = model_of(11, bias=(-30.0, 30.0, -30.0))


class Heard(Observers):
    """Observers, and what a test can wait for: bars, and news of observers."""

    def __init__(self, *observers: Any) -> None:
        super().__init__(observers, hangs=1.0)
        self.bars: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.said: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def on_bar(self, entries: Any, seconds: float) -> None:
        super().on_bar(entries, seconds)
        self.bars.put(entries[0].step.decision.bar_time)

    def outage_events(self, now: float) -> Iterator[Any]:
        for kind, detail in super().outage_events(now):
            self.said.put((kind, detail))
            yield kind, detail


@contextmanager
def daemon(world: World, observers: Heard) -> Iterator[Callable[[], None]]:
    """The daemon's loop in a thread; what is yielded waits for its next bar, an hour later."""
    folder = world.folder / "model"
    save_model(BUYS, folder)
    settings = world.settings(policy={"model": str(folder)})
    clock = Clock(speed=1000, source=lambda: world.dial.now / 1000, simulated=True)  # short waits
    with closing(open_writer(settings.ledger.url)) as ledger:
        waiter, feed = Waiter(), Feed(settings.exchange, world.dial.clock)
        markets = Markets(TraderWatcher(settings), clock, ledger, lambda _: feed, observers)
        thread = threading.Thread(target=run, args=(markets, 20.0, waiter))
        thread.start()

        def next_bar() -> None:
            world.dial.now += HOUR
            waiter.wake()
            observers.bars.get(timeout=WAIT)

        try:
            observers.bars.get(timeout=WAIT)
            yield next_bar
        finally:
            waiter.stop()
            thread.join(WAIT)


def test_a_receiver_that_hangs_delays_no_bar_and_is_told_of(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers.clear()
    with world_of(tmp_path) as world:
        world.dial.now = START + 31 * HOUR + 30
        notify = {"urls": f"json://{receiver.address}/key?rto=30", "every_seconds": 0}
        observers = Heard(Notifier(world.settings(notify=notify), world.dial.clock))
        with daemon(world, observers) as next_bar:
            receiver.got.get(timeout=WAIT)  # the first fill; it hangs from here on
            for _ in range(12):
                next_bar()
            kind, detail = observers.said.get(timeout=WAIT)
            assert (kind, detail["error"]) == ("notifier_down", "no answer in 1 s")
            next_bar()
            receiver.answers.set()
            while observers.said.get(timeout=WAIT)[0] != "notifier_up":
                pass
        observers.close(WAIT)
        rows = world.rows()["decisions"]
        assert [row[1] for row in rows] == [START + hour * HOUR for hour in range(30, 44)]
        assert {row[3] for row in rows} <= {"policy", "minimum"}  # decided in time, every one
        events = events_at(world.url)
        assert 1 <= events.count("notifier_down") <= 5  # at its start, and as its length doubles
        assert events.count("notifier_up") == 1
        later = receiver.all()
        assert sum(message.count("bought") for message in later) == len(world.rows()["fills"]) - 1


def test_run_once_sends_before_it_ends(tmp_path: Path, receiver: Receiver) -> None:
    save_model(BUYS, tmp_path / "model")
    with world_of(tmp_path) as world:
        world.dial.now = START + 31 * HOUR + 30
        done = hourhand(
            "run",
            "--once",
            cwd=tmp_path,
            HOURHAND_CLOCK=f"@{world.dial.now}",
            HOURHAND_EXCHANGE__BASE_URL=world.exchange.url,
            HOURHAND_POLICY__MODEL=str(tmp_path / "model"),
            HOURHAND_SCHEDULE__WARMUP_BARS="20",
            HOURHAND_NOTIFY__URLS=f"json://{receiver.address}/key",
            HOURHAND_NOTIFY__PING_URL=f"http://{receiver.address}/ping",
        )
    assert done.returncode == 0, done.stderr
    got = receiver.all()
    assert "/ping" in got
    assert any("bought" in message for message in got)


def test_an_error_that_ends_the_daemon_is_told(tmp_path: Path, receiver: Receiver) -> None:
    missing = {"HOURHAND_POLICY__MODEL": "missing"}
    done = hourhand("run", cwd=tmp_path, HOURHAND_NOTIFY__URLS=f"json://{receiver.address}/key", **missing)
    assert done.returncode == ModelError.exit_code
    (message,) = receiver.all()
    said = done.stderr.strip().removeprefix("hourhand: ")
    assert message == f"hourhand main\nthe daemon ended with an error: {said}"
