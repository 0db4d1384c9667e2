"""`hourhand` as the demo runs it: in processes of its own, their log read line by line."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final, Self

from bot.errors import HourhandError

_PATIENCE: Final = 60.0
_KEPT_LINES: Final = 10
_LOOK: Final = 0.2  # seconds between two looks at whether the demo is to end
_asked_to_end: Final = Event()

Line = dict[str, Any]
"""A line of the daemon's log: `event`, and what belongs to it."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Make SIGINT and SIGTERM raise KeyboardInterrupt in the block, but only while it waits for a daemon: between its
    start and the moment that it is looked after, an exception would leave it behind.
    """
    _asked_to_end.clear()
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda *_: _asked_to_end.set()) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def _end_if_asked() -> None:
    if _asked_to_end.is_set():
        raise KeyboardInterrupt


def wait_for_signal() -> None:
    """Until SIGINT or SIGTERM comes, in a block of `ended_by_signals`; what follows then goes on."""
    _asked_to_end.wait()
    _asked_to_end.clear()


@contextmanager
def served_page(config: Path, clock: str) -> Iterator[str]:
    """`hourhand serve` in a process of its own on a free port of this machine; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = _start(["bot", "serve", "--port", str(port)], config, clock, subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def call(*arguments: str, config: Path, clock: str) -> "subprocess.CompletedProcess[str]":
    """`hourhand ARGUMENTS --config CONFIG` on that clock, to its end. Raises HourhandError where it has none."""
    try:
        return subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "bot", *arguments, "--config", str(config)],
            env=_environment(clock),
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HourhandError(f"the demo's `hourhand {arguments[0]}` did not end within {_PATIENCE:.0f} s") from error


class Daemon:
    """`hourhand run` in a process of its own. A context manager that leaves no process behind."""

    def __init__(self, config: Path, clock: str, killer: Sequence[str] = ()) -> None:
        """With `killer`, the arguments of `bot.simulator.kill`, under that."""
        program = ["bot.simulator.kill", *killer, "--"] if killer else ["bot"]
        self._process = _start([*program, "run"], config, clock, subprocess.PIPE)
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def next_line(self, seconds: float = _PATIENCE) -> Line | None:
        """The next line of its log, None after the last one.

        Raises TimeoutError where none came within `seconds`.
        """
        end = time.monotonic() + max(seconds, 0.0)
        while True:
            _end_if_asked()
            try:
                return self._lines.get(timeout=max(min(end - time.monotonic(), _LOOK), 0.0))
            except queue.Empty:
                if time.monotonic() >= end:
                    raise TimeoutError from None

    def end(self) -> int:
        """Its exit code once it has ended, the signal's number negated where one killed it.

        Raises HourhandError where it does not end.
        """
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            _end_if_asked()
            try:
                return self._process.wait(_LOOK)
            except subprocess.TimeoutExpired:
                continue
        raise self.failure("does not end")

    def stop(self) -> int:
        """Ask it to stop as a service manager does; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.end()

    def failure(self, what: str) -> HourhandError:
        """What the demo ends with when the daemon does not do as it should: its last words."""
        return HourhandError("\n".join([f"the demo's daemon {what}; its last output:", *self._said]))

    def _read(self) -> None:
        for text in self._process.stderr or ():
            self._said.append(text.rstrip())
            try:
                self._lines.put(json.loads(text))
            except ValueError:  # a sentence for people, such as an error's
                continue
        self._lines.put(None)


def timed_doctor(config: Path, clock: str) -> float:
    """How long `hourhand doctor` takes from start to end, in seconds: a little more than a daemon needs to be there.

    Raises HourhandError, with the exit code of what it found, where anything is not as it should be.
    """
    first = time.monotonic()
    done = call("doctor", "--json", config=config, clock=clock)
    if done.returncode:
        error = HourhandError(f"`hourhand doctor` failed: {done.stderr or done.stdout}")
        error.exit_code = done.returncode
        raise error
    return time.monotonic() - first


def _start(words: Sequence[str], config: Path, clock: str, errors: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", *words, "--config", str(config)],
        env=_environment(clock),
        stdout=subprocess.DEVNULL,
        stderr=errors,
        text=True,
        start_new_session=True,  # Ctrl-C is the demo's to handle
    )


def _environment(clock: str) -> dict[str, str]:
    """The environment without any settings of its user, and with the demo's clock."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("HOURHAND_")}
    return own | {"HOURHAND_CLOCK": clock}
