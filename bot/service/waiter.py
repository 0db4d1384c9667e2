"""Waits that can be ended: between polls, and for a request that may never return."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn, TypeVar

from bot.errors import ExchangeError

HEARTBEAT_SECONDS: Final = 1.0

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - a request to end, not an error
    """The daemon was asked to end while it waited."""


class Waiter:
    """Lets one thread wait, and any other, or a signal handler, wake or stop it."""

    def __init__(self) -> None:
        self.stopping = False
        self.deadline = float("inf")  # of the monotonic clock, for every call
        self.heartbeat: Callable[[], object] = lambda: None  # called while a poll makes progress
        self._events: queue.SimpleQueue[None] = queue.SimpleQueue()

    def wake(self) -> None:
        """End the wait that is under way, or the next one. Safe in a signal handler."""
        self._events.put(None)

    def stop(self) -> None:
        """Make every wait, now and later, end at once. Safe in a signal handler."""
        self.stopping = True
        self.wake()

    def wait(self, seconds: float) -> None:
        """Until `seconds` of the machine's monotonic time have passed, or `wake` or `stop` is called."""
        if self.stopping or seconds <= 0:
            return
        try:
            self._events.get(timeout=min(seconds, threading.TIMEOUT_MAX))
            while True:
                self._events.get_nowait()
        except queue.Empty:
            return

    def call(self, request: Callable[[], T], abort: Callable[[], object]) -> T:
        """What `request()` returns or raises. It runs in a thread of its own, so that one that hangs, even in the
        resolver, cannot keep the daemon from ending. `heartbeat` is called once a second meanwhile: every request has
        a deadline of its own, so to wait for one is to make progress.

        Raises Stopped as soon as `stop` is called, and ExchangeError at `deadline`, after calling `abort` to end the
        request.
        """
        results: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()

        def run() -> None:
            try:
                value = request()
                results.put(lambda: value)
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                results.put(_raiser(error))
            self.wake()

        self._raise_if_stopped()
        threading.Thread(target=run, name="exchange", daemon=True).start()
        while results.empty():
            left = self.deadline - time.monotonic()
            with suppress(queue.Empty):
                self._events.get(timeout=max(0.0, min(left, HEARTBEAT_SECONDS)))
            self.heartbeat()
            if not results.empty():
                break
            if self.stopping or left <= 0:
                abort()
                self._raise_if_stopped()
                raise ExchangeError("the exchange did not answer in time")
        return results.get()()

    def _raise_if_stopped(self) -> None:
        if self.stopping:
            raise Stopped


def _raiser(error: BaseException) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail
