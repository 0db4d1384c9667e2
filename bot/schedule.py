"""When to wake up, when to try again, and when to speak of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from bot.clock import Clock
from bot.errors import ExchangeError, ExchangeRefusedError

LONGEST_WAIT: Final = 300.0  # seconds between two tries, so that the end of an outage is seen in time
REFUSED_WAIT: Final = 3600.0
_NEVER: Final = timedelta(days=36_500)


class AfterClose(BaseTrigger):  # type: ignore[misc]
    """APScheduler's trigger at `delay` seconds after each close of a bar, on a clock that may be simulated."""

    def __init__(self, clock: Clock, bar: int, delay: float) -> None:
        self.clock, self.bar, self.delay = clock, bar, delay

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The machine's time of the next one after `now`, and after `previous_fire_time` where a bar is shorter than
        APScheduler's rounding.
        """
        time = self.clock.now()
        due = (time - self.delay) // self.bar * self.bar + self.bar + self.delay
        wait = min(timedelta(seconds=min(self.clock.real(due - time), _NEVER.total_seconds())), _NEVER)
        following = now + max(wait, timedelta(milliseconds=1))
        return following if previous_fire_time is None else max(following, previous_fire_time)


def start_alarm(clock: Clock, bar: int, delay: float, wake: Callable[[], object]) -> BackgroundScheduler:
    """A scheduler that calls `wake` after each close. A hint only: what is due is read from the ledger."""
    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.add_job(wake, AfterClose(clock, bar, delay), coalesce=True, misfire_grace_time=None, max_instances=1)
    scheduler.start()
    return scheduler


def wait_after(failures: int, error: ExchangeError | None = None, jitter: Callable[[], float] = random.random) -> float:
    """Seconds until the next try after `failures` failures in a row: 2, 4, 8, ... to LONGEST_WAIT, less a random half
    of it; never before the exchange's own `Retry-After`; an hour where it refuses for good.
    """
    if isinstance(error, ExchangeRefusedError):
        return REFUSED_WAIT
    wait = min(LONGEST_WAIT, 2.0 ** min(failures, 16))
    return max(wait * (1 - jitter() / 2), error.retry_after if error else 0.0)


@dataclass(slots=True)
class Outage:
    """A trouble that lasts: counted at each failure, spoken of at the first and then each time that its length has
    doubled, from an hour on, so that a week of it is a handful of lines.
    """

    since: float | None = None
    failures: int = 0
    spoken: float = field(default=0.0)

    def failed(self, now: float) -> dict[str, Any] | None:
        """Count a failure; what to say of it, or None."""
        self.failures += 1
        if self.since is None:
            self.since, self.spoken = now, 1800.0
            return {"failures": 1, "for_seconds": 0}
        lasted = now - self.since
        if lasted < 2 * self.spoken:
            return None
        self.spoken = lasted
        return {"failures": self.failures, "for_seconds": round(lasted)}

    def over(self, now: float) -> dict[str, Any] | None:
        """The trouble is over; what to say of it, None where there was none."""
        if self.since is None:
            return None
        said = {"failures": self.failures, "for_seconds": round(now - self.since)}
        self.since, self.failures, self.spoken = None, 0, 0.0
        return said
