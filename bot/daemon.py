"""The loop: wait, poll, report. What is to be done is always read from the ledger; timers only wake it up."""

import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from bot import __version__, registry
from bot.candles import newest_closed
from bot.clock import utc
from bot.crew import crew
from bot.errors import (
    ExchangeError,
    ExchangeRefusedError,
    LedgerInUseError,
    LedgerUnavailableError,
    ModelError,
    UsageError,
)
from bot.poller import Poller
from bot.schedule import LONGEST_WAIT, Outage, start_alarm, wait_after
from bot.settings import Settings
from bot.supervision import notify, watchdog_seconds
from bot.trader import Trader
from bot.waiting import Stopped

ONCE_SECONDS: Final = 30.0
TICK_SECONDS: Final = 1.0  # wakes the loop by the monotonic clock, whatever happens to the machine's
SWAP_SECONDS: Final = 0.5  # a model is taken up right after a poll, or this long before the next: no bar waits for it
HEARTBEAT_SECONDS: Final = 900.0
FOREVER: Final = 1e10  # seconds; a longer delay would be lost in the rounding of times

log = structlog.get_logger()


class Models:
    """The traders that the settings and the registry's pointer name, read again whenever the pointer has changed."""

    def __init__(self, settings: Settings) -> None:
        """Raises ModelError where a model cannot be used."""
        self.settings, self.pointer = settings, Path(settings.policy.model)
        self.seen = registry.signature(self.pointer)
        self.traders = crew(settings)

    def changed(self) -> list[Trader] | None:
        """The traders, where the pointer is not what it was at the last call; None where it is.

        Raises ModelError where a model cannot be used; it is not looked at again until the pointer changes.
        """
        seen = registry.signature(self.pointer)
        if seen == self.seen:
            return None
        self.seen = seen
        return crew(self.settings)

    def again(self) -> None:
        """Look at the pointer again at the next call, changed or not; safe in a signal handler."""
        self.seen = ()

    def told(self) -> str:
        """What the pointer says, for a person who wants to know which model was refused."""
        try:
            return registry.read_pointer(self.pointer).model_id
        except ModelError:
            return str(self.pointer)


def poll_once(poller: Poller) -> int:
    """One poll, tried for at most ONCE_SECONDS; how many bars it decided.

    Raises ExchangeError where the exchange could not be brought to answer, and what `Poller.poll` raises.
    """
    deadline = poller.waiter.deadline = time.monotonic() + ONCE_SECONDS
    failures = 0
    while True:
        try:
            return poller.poll()
        except ExchangeError as error:
            failures += 1
            wait = poller.clock.real(wait_after(failures, error))
            if isinstance(error, ExchangeRefusedError) or time.monotonic() + wait >= deadline:
                poller.note("exchange_error", error=str(error), failures=failures)
                raise
            log.warning("exchange_error", error=str(error), again_in_seconds=round(wait, 1))
            poller.waiter.wait(wait)
            if poller.waiter.stopping:
                raise Stopped from error


def run(poller: Poller, poll_delay: float, models: Models) -> None:
    """Poll `poll_delay` seconds after each close until the poller's waiter is stopped. An exchange that is down and a
    disk that is full are waited out, and a model that is promoted meanwhile is taken up between two bars.

    Raises LedgerError for a ledger that has become unusable, UsageError for a symbol that the exchange lacks.
    """
    accounts = {account.trader.terms.name: account.trader.model.model_id for account in poller.standings}
    poller.note("started", version=__version__, accounts=accounts, pid=os.getpid())
    log.info("started", version=__version__, market=poller.market, accounts=accounts, pid=os.getpid())
    alarm = start_alarm(poller.clock, poller.bar, min(poll_delay, FOREVER), poller.waiter.wake)
    try:
        notify("READY=1")
        _Loop(poller, poll_delay, models).run()
    finally:
        notify("STOPPING=1")
        alarm.shutdown(wait=False)
    poller.note("stopped", pid=os.getpid())
    log.info("stopped")


def call_on(signals: Sequence[signal.Signals], action: Callable[[], object]) -> None:
    """Call `action` when one of the signals comes."""
    for number in signals:
        signal.signal(number, lambda *_: action())


class _Loop:
    def __init__(self, poller: Poller, poll_delay: float, models: Models) -> None:
        self.poller, self.models, self.delay = poller, models, min(poll_delay, FOREVER)
        self.exchange, self.ledger = Outage(), Outage()
        self.failures = 0
        self.not_before = time.monotonic()
        self.watchdog = watchdog_seconds()
        self.fed = 0.0

    def run(self) -> None:
        clock, waiter = self.poller.clock, self.poller.waiter
        beat = time.monotonic()
        while not waiter.stopping:
            self._feed_watchdog()
            self._tell_of_observers()
            due = self._left() <= 0
            if due:
                wait = self._attempt()
                self.not_before = time.monotonic() + clock.real(wait)
            if due or self._left() > SWAP_SECONDS:
                self._take_up()
            if time.monotonic() >= beat + HEARTBEAT_SECONDS:
                beat = time.monotonic()
                self._beat()
            waiter.wait(min(max(self._left(), 0.0), TICK_SECONDS))

    def _left(self) -> float:
        """Seconds of the machine until the next poll; none or less where it is due."""
        clock = self.poller.clock
        if self.poller.is_up_to_date(clock.now() - self.delay):
            return clock.real(self._until_due())
        return self.not_before - time.monotonic()

    def _until_due(self) -> float:
        """Seconds until `delay` after the next close."""
        now, bar = self.poller.clock.now(), self.poller.bar
        return float(newest_closed(now - self.delay, bar) + 2 * bar + self.delay - now)

    def _attempt(self) -> float:
        """One poll; how many seconds to leave the exchange alone afterwards, should anything still be due."""
        try:
            decided = self.poller.poll()
        except Stopped:
            return 0.0
        except ExchangeError as error:
            self.failures += 1
            self.poller.observers.happened("poll_failed", cause="exchange")
            self._trouble(self.exchange, "exchange_error", error)
            return wait_after(self.failures, error)
        except (LedgerUnavailableError, LedgerInUseError) as error:  # the lock is lost with its connection
            self.failures += 1
            self.poller.observers.happened("poll_failed", cause="ledger")
            self._trouble(self.ledger, "ledger_unavailable", error)
            return wait_after(self.failures)
        self._over(self.exchange, "exchange_recovered")
        self._over(self.ledger, "ledger_recovered")
        # Where a bar has closed and still is not decided, the exchange has no candle of it yet, or none to believe.
        self.failures = 0 if decided else self.failures + 1
        return min(LONGEST_WAIT, 10.0 * 2.0 ** min(self.failures, 16))

    def _take_up(self) -> None:
        """Go on with the models that the settings and the registry name now, if they are good and others."""
        poller = self.poller
        try:
            traders = self.models.changed()
            if traders is None:
                return
            poller.use(traders)
        except (ModelError, UsageError) as error:
            log.warning("model_rejected", error=str(error))
            poller.note("model_rejected", error=str(error), pointer=self.models.told())
        except (LedgerUnavailableError, LedgerInUseError):
            self.models.again()
        else:
            log.info("models", **{trader.terms.name: trader.model.model_id for trader in traders})

    def _feed_watchdog(self) -> None:
        """Tell systemd that the loop goes round and the ledger answers; a hanging one starves it. A ledger that says
        that it cannot be used now has answered: a restart would not help it.
        """
        if self.watchdog and time.monotonic() >= self.fed + self.watchdog / 4:
            with suppress(LedgerUnavailableError, LedgerInUseError):
                self.poller.check_ledger()
            notify("WATCHDOG=1")
            self.fed = time.monotonic()

    def _tell_of_observers(self) -> None:
        """An observer that is down cannot say so itself."""
        for kind, detail in self.poller.observers.news(self.poller.clock.now()):
            log.warning(kind, **detail)
            self.poller.note(kind, **detail)

    def _trouble(self, outage: Outage, kind: str, error: Exception) -> None:
        said = outage.failed(self.poller.clock.now())
        if said is not None:
            log.error(kind, error=str(error), **said)
            self.poller.note(kind, error=str(error), **said)

    def _over(self, outage: Outage, kind: str) -> None:
        said = outage.over(self.poller.clock.now())
        if said is not None:
            log.info(kind, **said)
            self.poller.note(kind, **said)

    def _beat(self) -> None:
        told: dict[str, Any] = {"bar_time": self.poller.standings[0].bar_time, "failures": self.failures}
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        log.info("heartbeat", **told, due=utc(self.poller.clock.now() + self._until_due()), most_memory_mb=megabytes)
