"""Observers that fail or hang: the daemon goes on, and says so once."""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bot.clock import Clock
from bot.observers import Observers
from bot.observers.setup import make_observers
from bot.observers.threads import NotSentError
from bot.trading import AccountState, DecidedBar
from tests.harness import HOUR, model_of, settings_of, world_of

WAIT = 20.0  # seconds, after which something that should happen at once is given up


class Odd:
    """An observer that does to each call what the test wants, and lets the test wait for it."""

    def __init__(self, name: str, does: Callable[[], object] = lambda: None) -> None:
        self.name, self.does = name, does
        self.calls: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.ticked: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def on_accounts(self, account_states: Sequence[AccountState]) -> None:
        self.calls.put(("accounts", [account.bar_time for account in account_states]))

    def on_bar(self, entries: Sequence[DecidedBar], seconds: float) -> None:
        assert seconds > 0
        self.calls.put(("decided", [entry.step.decision.bar_time for entry in entries]))
        self.does()

    def on_event(self, kind: str, detail: Mapping[str, Any]) -> None:
        self.calls.put((kind, dict(detail)))
        self.does()

    def tick(self, *, last: bool) -> bool:
        self.ticked.put(last)
        return True


def fails() -> None:
    raise RuntimeError("no")


def outage_events(observers: Observers, now: float = 0.0) -> list[Any]:
    return list(observers.outage_events(now))


def test_bars_and_events_arrive_in_order(tmp_path: Path) -> None:
    odd = Odd("odd")
    observers = Observers([odd])
    with world_of(tmp_path) as world, world.poller(model_of(1)) as poller:
        poller.observers = observers
        world.run(poller, [30, 31, 33])
        poller.note("stopped", pid=1)
    observers.close(WAIT)
    start = world.exchange.candles[0].bar_time
    calls = [odd.calls.get(timeout=WAIT) for _ in range(odd.calls.qsize())]
    assert calls == [
        *(("decided", [start + hour * HOUR]) for hour in (30, 31, 32, 33)),
        ("stopped", {"pid": 1}),
    ]


def test_one_that_hangs_or_fails_delays_no_bar_and_no_other(tmp_path: Path) -> None:
    free = threading.Event()
    good, bad, stuck = Odd("good"), Odd("bad", fails), Odd("stuck", free.wait)
    observers = Observers([stuck, bad, good], hangs=0.0)
    with world_of(tmp_path) as world, world.poller(model_of(1)) as poller, ExitStack() as end:
        end.callback(free.set)
        poller.observers = observers
        world.run(poller, [30, 31])
        assert len(world.rows()["decisions"]) == 2
        assert [good.calls.get(timeout=WAIT)[0] for _ in range(2)] == ["decided", "decided"]
        assert stuck.calls.get(timeout=WAIT)[0] == "decided"
        assert [bad.calls.get(timeout=WAIT)[0] for _ in range(2)] == ["decided", "decided"]
        assert stuck.calls.empty()
        down = dict(outage_events(observers))
        assert down["stuck_down"]["error"] == "no answer in 0 s"
    free.set()
    observers.close(WAIT)


def test_what_was_not_sent_is_not_sent_again_before_its_time() -> None:
    class Refused(Odd):
        def tick(self, *, last: bool) -> bool:
            self.ticked.put(last)
            self.tried.put(time.monotonic())
            raise NotSentError("refused", 3.0)

        tried: queue.SimpleQueue[float] = queue.SimpleQueue()

    odd = Refused("odd")
    observers = Observers([odd])
    first, second = (odd.tried.get(timeout=30) for _ in range(2))
    observers.close(0.0)
    assert second - first >= 3.0  # the first wait after a failure is 2 s at most


def test_an_outage_is_told_once_and_its_end_too() -> None:
    odd = Odd("odd", fails)
    observers = Observers([odd])
    for _ in range(3):
        observers.on_event("gap", bars=1)
    observers.close(WAIT)
    assert outage_events(observers, 100.0) == [
        ("odd_down", {"error": "RuntimeError: no", "failures": 1, "for_seconds": 0}),
        ("odd_up", {"failures": 3, "for_seconds": 0}),  # the last tick, at the end, reached it
    ]
    assert outage_events(observers, 200.0) == []


def test_what_a_hanging_one_cannot_take_is_dropped_and_counted() -> None:
    free = threading.Event()
    odd = Odd("odd", free.wait)
    observers = Observers([odd], hangs=0.0)
    observers.on_event("first")
    odd.calls.get(timeout=WAIT)
    for number in range(1005):
        observers.on_event("more", number=number)
    assert [kind for kind, _ in outage_events(observers, 5.0)] == ["odd_down"]
    free.set()
    while odd.calls.get(timeout=WAIT) != ("more", {"number": 999}):
        pass
    odd.ticked.get(timeout=WAIT)
    observers.close(WAIT)
    events = dict(outage_events(observers, 65.0))
    assert events["odd_up"]["dropped"] == 5
    assert events["odd_up"]["for_seconds"] == 60


def test_the_end_does_not_wait_for_one_that_hangs() -> None:
    free = threading.Event()
    observers = Observers([Odd("odd", free.wait)])
    observers.on_event("first")
    observers.close(0.0)
    assert any(thread.name == "odd" for thread in threading.enumerate())
    free.set()


def test_nobody_is_told_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    before = threading.active_count()
    observers = make_observers(settings_of(), Clock(), stays=True)
    assert threading.active_count() == before
    observers.on_event("gap")
    assert outage_events(observers) == []
