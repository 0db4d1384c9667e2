"""Waits that can be ended, and requests in threads, so that one that never returns keeps nothing else waiting."""

import queue
import threading
from collections.abc import Callable
from typing import Any, Final

HEARTBEAT_SECONDS: Final = 1.0

Request = Callable[[], Any]
"""What is asked of an exchange, as a call that returns the answer or raises."""


class Stopped(Exception):  # noqa: N818 - a request to end, not an error
    """The daemon was asked to end while it waited."""


class Answer:
    """What a request returns or raises, once it is `done`."""

    def __init__(self) -> None:
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None

    def fill(self, request: Request) -> None:
        """Make the request."""
        try:
            self.value = request()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self.error = error
        self.done = True


class Waiter:
    """Lets one thread wait, and any other, or a signal handler, wake or stop it."""

    def __init__(self) -> None:
        self.stopping = False
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

    def start(self, request: Request) -> Answer:
        """Make the request in a thread of its own, and wake up when it is answered. A request that hangs, even in the
        resolver, keeps nobody from ending.
        """
        answer = Answer()

        def run() -> None:
            answer.fill(request)
            self.wake()

        threading.Thread(target=run, name="exchange", daemon=True).start()
        return answer
