"""`hourhand` in processes of its own, without the most of a second that each start takes: one process that has
everything imported forks itself for each command.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast


def fast_daemon(clock: str, exchange_url: str, ledger: Path, model: Path, warmup: int) -> dict[str, str]:
    """The environment of a daemon on a fast clock, which trades on candles however old they are: what it writes then
    depends on nothing but the candles and the models.
    """
    return {
        "HOURHAND_CLOCK": clock,
        "HOURHAND_EXCHANGE__BASE_URL": exchange_url,
        "HOURHAND_LEDGER__URL": f"sqlite:///{ledger}",
        "HOURHAND_POLICY__MODEL": str(model),
        "HOURHAND_SCHEDULE__CATCH_UP": "trade",
        "HOURHAND_SCHEDULE__MAX_DECISION_DELAY_SECONDS": "1e12",
        "HOURHAND_SCHEDULE__WARMUP_BARS": str(warmup),
    }


class Forks:
    """One command at a time: `start` or `run` it. A context manager."""

    def __init__(self, log: Path) -> None:
        """What the commands print, on either stream, is added to `log`."""
        self.log = log
        log.touch()
        self.pid = 0

    def __enter__(self) -> Self:
        self._parent = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.pid:
            self.kill()
        with self._parent:
            cast("IO[str]", self._parent.stdin).close()

    def start(self, *argv: str, environment: dict[str, str], killer: Sequence[str] = ()) -> int:
        """Start `hourhand` with these arguments, under `bot.simulator.kill` with those of `killer`; its process id."""
        self._order({"argv": [*killer, "--", *argv] if killer else argv, "kill": bool(killer), "env": environment})
        self.pid = self._answer()
        return self.pid

    def wait(self) -> int:
        """Its exit code once it has ended, the signal's number negated where one killed it."""
        code = self._answer()
        self.pid = 0
        return code

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End it with a signal, if it has not ended by itself; its exit code."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return self.wait()

    def run(self, *argv: str, environment: dict[str, str], killer: Sequence[str] = ()) -> int:
        """Start it and wait."""
        self.start(*argv, environment=environment, killer=killer)
        return self.wait()

    def _order(self, order: dict[str, object]) -> None:
        stream = cast("IO[str]", self._parent.stdin)
        stream.write(json.dumps(order | {"log": str(self.log)}) + "\n")
        stream.flush()

    def _answer(self) -> int:
        return int(cast("IO[str]", self._parent.stdout).readline())


def _serve() -> None:
    import ccxt  # noqa: F401, PLC0415

    from bot import cli  # noqa: PLC0415 - in the process that forks, not in the one that asks it to
    from bot.commands import run  # noqa: F401, PLC0415
    from bot.simulator import kill  # noqa: PLC0415

    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            with Path(order["log"]).open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            os.environ |= order["env"]
            code = (kill.main if order["kill"] else cli.main)(order["argv"])
            sys.stdout.flush()
            os._exit(code)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
