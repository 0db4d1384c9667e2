"""The time: the machine's, or one that starts elsewhere and runs faster, for simulations."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bot.errors import UsageError

_FORM: Final = re.compile(r"@(?P<start>\d+(\.\d+)?)(x(?P<speed>\d+(\.\d+)?))?(@(?P<since>\d+(\.\d+)?))?")

END_OF_TIME: Final = 2**62
"""After every bar time that a ledger can hold."""

_UNITS: Final = {"m": 60, "h": 3600, "d": 86400}
_MOST: Final = 253_402_300_800.0  # seconds: the year 10000


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds since 1970, UTC, as `start + (source() - origin) * speed`.

    The default is the machine's own clock. A simulated one reads a monotonic source, so that nothing that happens
    to the machine's clock moves it; with `since` it reads the machine's clock, so that several processes share it.
    """

    start: float = 0.0
    speed: float = 1.0
    origin: float = 0.0
    source: Callable[[], float] = time.time
    simulated: bool = False

    def now(self) -> float:
        """Seconds since 1970 on this clock."""
        return self.start + (self.source() - self.origin) * self.speed

    def real(self, seconds: float) -> float:
        """How long `seconds` of this clock take on the machine, in seconds."""
        return seconds / self.speed


def utc(seconds: float) -> str:
    """A time in Unix seconds as people and machines read it: 2020-01-01T00:00:00Z."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f}"


def read_clock(text: str | None) -> Clock:
    """The clock that `HOURHAND_CLOCK` asks for: `@START`, `@STARTxSPEED` or `@STARTxSPEED@SINCE`.

    START is in Unix seconds, SPEED a factor. With SINCE, the clock showed START when the machine's clock showed
    SINCE (several processes can share it); without, when this was called. None or "" is the machine's own clock.

    Raises UsageError where the text has another form.
    """
    if not text:
        return Clock()
    match = _FORM.fullmatch(text)
    if match is None or not 0 < float(match["speed"] or 1) < _MOST or float(match["start"]) >= _MOST:
        raise UsageError(
            f"HOURHAND_CLOCK={text} is not a clock: write @START or @STARTxSPEED, for example @1577836800x3600"
        )
    start, speed = float(match["start"]), float(match["speed"] or 1)
    if match["since"]:
        return Clock(start, speed, float(match["since"]), time.time, simulated=True)
    return Clock(start, speed, time.monotonic(), time.monotonic, simulated=True)


def bar_seconds(timeframe: str) -> int:
    """Length of a bar in seconds: `1h` is 3600. Minutes, hours and days, as those divide Unix time evenly.

    Raises UsageError for anything else.
    """
    match = re.fullmatch(r"([1-9]\d{0,3})([mhd])", timeframe)
    if match is None:
        raise UsageError(
            f"exchange.timeframe = {timeframe!r} is not a timeframe: write minutes, hours or days, for example 1h"
        )
    return int(match[1]) * _UNITS[match[2]]


def timeframe_of(bar: int) -> str:
    """The timeframe of bars of so many seconds, a whole number of minutes: the shortest way to write it."""
    for unit, seconds in (("d", 86_400), ("h", 3600)):
        if bar % seconds == 0:
            return f"{bar // seconds}{unit}"
    return f"{bar // 60}m"


def newest_closed(now: float, bar: int) -> int:
    """Open time of the newest bar of `bar` seconds that has closed at `now`."""
    return int(now // bar) * bar - bar
