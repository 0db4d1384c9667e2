"""Observers of the daemon. Each is called in a thread of its own, so that one that hangs or fails
delays no bar and no other; the others hear of it.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog

from bot.market import retry_wait
from bot.observers.outage import Outage
from bot.redact import redact
from bot.trading import AccountState, DecidedBar

HANGS: Final = 60.0  # seconds without coming back, after which an observer counts as down
_TICK: Final = 1.0
_MOST_WAITING: Final = 1000  # calls that wait for an observer; more are dropped, and counted

Event = tuple[str, dict[str, Any]]
log = structlog.get_logger()


class NotSentError(OSError):
    """A service did not take what was sent; it may not be tried again within `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Observer(Protocol):
    """Receives what the daemon does. `name` appears in events: `NAME_down` and `NAME_up`."""

    name: str

    def on_accounts(self, account_states: Sequence[AccountState]) -> None:
        """The accounts as the ledger has them: at the start, and after each change of models."""

    def on_bar(self, entries: Sequence[DecidedBar], seconds: float) -> None:
        """A bar is committed, in `seconds`: one entry for each account, all of one candle."""

    def on_event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """An event of one of the ledger's kinds, or `poll_failed` after each failed poll."""

    def tick(self, *, last: bool) -> bool:
        """Do what is due, at least once a second; whether the outside was reached. `last`: now or never.

        Raises whatever shows that it was not reached; it is tried again later, and later each time.
        """


class Observers:
    """All observers as one. `on_accounts`, `on_bar` and `on_event` come back at once and never raise."""

    def __init__(self, observers: Sequence[Observer] = (), hangs: float = HANGS) -> None:
        self._workers = [_Worker(observer, hangs) for observer in observers]

    def on_accounts(self, account_states: Sequence[AccountState]) -> None:
        """See Observer."""
        account_states = list(account_states)
        for worker in self._workers:
            worker.put(lambda observer: observer.on_accounts(account_states))

    def on_bar(self, entries: Sequence[DecidedBar], seconds: float) -> None:
        """See Observer."""
        for worker in self._workers:
            worker.put(lambda observer: observer.on_bar(entries, seconds))

    def on_event(self, kind: str, **detail: Any) -> None:
        """See Observer."""
        for worker in self._workers:
            worker.put(lambda observer: observer.on_event(kind, detail))

    def outage_events(self, now: float) -> Iterator[Event]:
        """Which observers have gone down or come up by `now` (Unix seconds): once at the start of an outage, and each
        time that its length has doubled. Call it from one thread.
        """
        for worker in self._workers:
            yield from worker.outage_events(now)

    def close(self, seconds: float) -> None:
        """Let them finish what waits, for at most so many seconds in all."""
        end = time.monotonic() + seconds
        for worker in self._workers:
            worker.put(None)
        for worker in self._workers:
            worker.thread.join(max(0.0, end - time.monotonic()))


NO_OBSERVERS: Final = Observers()


class _Worker:
    """One observer, the calls that wait for it, and the thread that makes them."""

    def __init__(self, observer: Observer, hangs: float) -> None:
        self.observer, self.hangs = observer, hangs
        self.calls: queue.Queue[Callable[[Observer], object] | None] = queue.Queue(_MOST_WAITING)
        self.results: queue.SimpleQueue[str] = queue.SimpleQueue()  # what went wrong, empty for what went well
        self.outage, self.dropped = Outage(), 0
        self.busy_since: float | None = None
        self.thread = threading.Thread(target=self._run, name=observer.name, daemon=True)
        self.thread.start()

    def put(self, call: Callable[[Observer], object] | None) -> None:
        try:
            self.calls.put_nowait(call)
        except queue.Full:
            self.dropped += 1

    def outage_events(self, now: float) -> Iterator[Event]:
        since, name = self.busy_since, self.observer.name
        if since is not None and time.monotonic() > since + self.hangs:
            outage = self.outage.failed(now)
            if outage is not None:
                yield f"{name}_down", {"error": f"no answer in {self.hangs:g} s", "for_seconds": outage["for_seconds"]}
        while not self.results.empty():
            error = self.results.get()
            outage = self.outage.failed(now) if error else self.outage.over(now)
            if outage is None:
                continue
            yield (f"{name}_down", {"error": error, **outage}) if error else (f"{name}_up", {**outage, **self._lost()})

    def _lost(self) -> dict[str, int]:
        lost, self.dropped = self.dropped, 0
        return {"dropped": lost} if lost else {}

    def _run(self) -> None:
        failures, not_before, last = 0, 0.0, False
        while not last:
            call = self._next()
            self.busy_since = time.monotonic()
            last = call is None
            try:
                if call is not None:
                    call(self.observer)
                if last or self.busy_since >= not_before:
                    reached = self.observer.tick(last=last)
                    hung = time.monotonic() > self.busy_since + self.hangs
                    if reached or failures or hung:  # one whose tick never reaches out is up again, too
                        self.results.put("")
                    failures = 0
            except Exception as error:  # noqa: BLE001 - whatever it is, the daemon goes on and tells of it
                failures += 1
                least = error.retry_after if isinstance(error, NotSentError) else 0.0
                not_before = time.monotonic() + max(retry_wait(failures), least)
                self.results.put(redact(f"{type(error).__name__}: {error}")[:300])
            self.busy_since = None

    def _next(self) -> Callable[[Observer], object] | None:
        try:
            return self.calls.get(timeout=_TICK)
        except queue.Empty:
            return lambda _: None
