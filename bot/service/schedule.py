"""When to wake up: a job of APScheduler after each close."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from bot.clock import Clock

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
