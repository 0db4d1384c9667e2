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


class Alarm:
    """Calls `wake` after each close of bars of some lengths. A hint only: what is due is read from the ledger."""

    def __init__(self, clock: Clock, delay: float, wake: Callable[[], object]) -> None:
        self._clock, self._delay, self._wake = clock, delay, wake
        self._scheduler = BackgroundScheduler(timezone=UTC)
        self._scheduler.start()

    def ring_after(self, bar: int) -> None:
        """Ring after each close of a bar of so many seconds."""
        trigger = AfterClose(self._clock, bar, self._delay)
        options = {"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        self._scheduler.add_job(self._wake, trigger, id=str(bar), replace_existing=True, **options)

    def end(self) -> None:
        """Ring no more."""
        self._scheduler.shutdown(wait=False)
