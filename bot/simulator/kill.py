"""The command line with a SIGKILL at a numbered point of a bar, to see what a crash there leaves behind.

Nothing in the daemon knows of this: the points are found by listening to the database and to two functions of it.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from bot.cli import main as hourhand
from bot.service import bar_events, poller
from bot.trading import Trader

POINTS: Final = (
    "decided",
    "insert candles",
    "insert models",
    "insert accounts",
    "insert decisions",
    "insert fills",
    "delete states",
    "insert states",
    "insert events",
    "before commit",
    "after commit",
    "before log",
    "after log",
)
"""In the order of a bar: its decision is taken, nothing is written yet; each write inside the transaction has just been
carried out; right before COMMIT and right after it; before and after the bar's log line.
"""


class Killer:
    """Ends this process at `point`, the first time that the `bar`-th bar decided in it, or a later one, comes by."""

    def __init__(self, point: str, bar: int) -> None:
        self.point, self.bar = point, bar
        self.bars = 0
        self.newest: tuple[str, int] | None = None
        self.writing = self.committing = False

    def arm(self) -> None:
        """Listen, from now on and for good, to every database and every trader of this process."""
        event.listen(Engine, "after_cursor_execute", self._wrote)
        event.listen(Engine, "commit", self._commits)
        event.listen(Pool, "checkin", self._committed)
        step, report = Trader.step, bar_events.log_bar

        def counted(trader: Trader, *arguments: Any, **named: Any) -> Any:
            made = step(trader, *arguments, **named)
            bar = (trader.terms.market, made.decision.bar_time)
            if bar != self.newest:
                self.newest = bar
                self.bars += 1
            self.writing = True  # the next transaction is the bar's; any other one is an event on its own
            self._pass("decided")
            return made

        def reported(*arguments: Any, **named: Any) -> None:
            self._pass("before log")
            report(*arguments, **named)
            self._pass("after log")

        setattr(Trader, "step", counted)  # noqa: B010 - an assignment to a method is none that a type checker takes
        setattr(poller, "log_bar", reported)  # noqa: B010

    def _pass(self, point: str) -> None:
        if point == self.point and self.bars >= self.bar:
            os.kill(os.getpid(), signal.SIGKILL)

    def _wrote(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        words = statement.split(maxsplit=3)
        if self.writing and words[0] in ("INSERT", "DELETE"):
            self._pass(f"{words[0]} {words[2]}".lower())

    def _commits(self, _connection: Any) -> None:
        if self.writing:
            self.committing = True
            self._pass("before commit")

    def _committed(self, _connection: Any, _record: Any) -> None:
        if self.committing:
            self._pass("after commit")
            self.writing = self.committing = False


def main(argv: Sequence[str]) -> int:
    """Arm a killer, then run `hourhand` with the arguments after `--`; its exit code, should it live."""
    parser = argparse.ArgumentParser(
        prog="python -m bot.simulator.kill",
        description=f"Run hourhand and kill it with SIGKILL at a point of a bar: {', '.join(POINTS)}.",
        epilog="example: python -m bot.simulator.kill --point 'insert decisions' --bar 3 -- run --once",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--point", choices=POINTS, metavar="POINT", required=True, help="one of those above")
    parser.add_argument("--bar", type=int, default=1, metavar="N", help="not before the Nth bar that it decides (1)")
    parser.add_argument("command", nargs="+", metavar="...", help="-- and the arguments of hourhand")
    parsed_args = parser.parse_args(argv)
    Killer(parsed_args.point, parsed_args.bar).arm()
    return hourhand(parsed_args.command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
