"""Waiting that can be ended: between polls, and for an answer that may never come."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, TypeVar

from bot.errors import ExchangeError

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - no error: somebody asked the daemon to end
    """The daemon was asked to end while it waited."""


class Waiter:
    """Lets one thread wait, and any other, or a signal handler, wake or stop it."""

    def __init__(self) -> None:
        self.stopping = False
        self.deadline = float("inf")  # of the monotonic clock, for every answer
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

    def answer(self, question: Callable[[], T], cut: Callable[[], object]) -> T:
        """What `question()` returns or raises. It runs in a thread of its own, so that a request that hangs, in the
        resolver of names even, cannot keep the daemon from ending.

        Raises Stopped as soon as `stop` is called, and ExchangeError at `deadline`, after calling `cut` to end the
        request.
        """
        answers: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()

        def ask() -> None:
            try:
                value = question()
                answers.put(lambda: value)
            except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
                answers.put(_raiser(error))
            self.wake()

        if told := self._stopped():
            raise told
        threading.Thread(target=ask, name="exchange", daemon=True).start()
        while answers.empty():
            left = self.deadline - time.monotonic()
            with suppress(queue.Empty):
                self._events.get(timeout=max(0.0, min(left, threading.TIMEOUT_MAX)))
            late = ExchangeError("the exchange did not answer in time") if left <= 0 else None
            if (over := self._stopped() or late) and answers.empty():
                cut()
                raise over
        return answers.get()()

    def _stopped(self) -> Stopped | None:
        return Stopped() if self.stopping else None


def _raiser(error: BaseException) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail
