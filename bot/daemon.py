"""The loop: wait, poll, report. What is to be done is always read from the ledger; timers only wake it up."""

import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from bot import __version__
from bot.candles import newest_closed
from bot.clock import utc
from bot.errors import ExchangeError, ExchangeRefusedError, LedgerUnavailableError
from bot.poller import Poller
from bot.schedule import LONGEST_WAIT, Outage, start_alarm, wait_after
from bot.waiting import Stopped

ONCE_SECONDS: Final = 30.0
TICK_SECONDS: Final = 1.0  # wakes the loop by the monotonic clock, whatever happens to the machine's
HEARTBEAT_SECONDS: Final = 900.0

log = structlog.get_logger()


def poll_once(poller: Poller) -> int:
    """One poll, tried for at most ONCE_SECONDS; how many bars it decided.

    Raises ExchangeError where the exchange could not be brought to answer, and what `Poller.poll` raises.
    """
    deadline = time.monotonic() + ONCE_SECONDS
    failures = 0
    while True:
        try:
            return poller.poll()
        except ExchangeRefusedError:
            raise
        except ExchangeError as error:
            failures += 1
            wait = poller.clock.real(wait_after(failures, error))
            if time.monotonic() + wait >= deadline:
                raise
            log.warning("exchange_error", error=str(error), again_in_seconds=round(wait, 1))
            poller.waiter.wait(wait)
            if poller.waiter.stopping:
                raise Stopped from error


def run(poller: Poller, poll_delay: float, ready: Callable[[], object] = lambda: None) -> None:
    """Poll `poll_delay` seconds after each close until the poller's waiter is stopped. An exchange that is down and a
    disk that is full are waited out. `ready` is called once the loop is about to start.

    Raises LedgerError for a ledger that has become unusable, UsageError for a symbol that the exchange lacks.
    """
    accounts = {account.trader.terms.name: account.trader.model.model_id for account in poller.standings}
    poller.note("started", version=__version__, accounts=accounts, pid=os.getpid())
    log.info("started", version=__version__, market=poller.market, accounts=accounts, pid=os.getpid())
    alarm = start_alarm(poller.clock, poller.bar, poll_delay, poller.waiter.wake)
    try:
        ready()
        _Loop(poller, poll_delay).run()
    finally:
        alarm.shutdown(wait=False)
    poller.note("stopped", pid=os.getpid())
    log.info("stopped")


def stop_on_signals(stop: Callable[[], object]) -> None:
    """Call `stop` on SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


class _Loop:
    def __init__(self, poller: Poller, poll_delay: float) -> None:
        self.poller, self.delay = poller, poll_delay
        self.exchange, self.ledger = Outage(), Outage()
        self.failures = 0

    def run(self) -> None:
        clock, waiter = self.poller.clock, self.poller.waiter
        not_before = beat = time.monotonic()
        while not waiter.stopping:
            due = not self.poller.is_up_to_date(clock.now() - self.delay)
            if due and time.monotonic() >= not_before:
                wait = self._attempt()
                not_before = time.monotonic() + clock.real(wait)
            if time.monotonic() >= beat + HEARTBEAT_SECONDS:
                beat = time.monotonic()
                self._beat()
            left = not_before - time.monotonic() if due else clock.real(self._until_due())
            waiter.wait(min(max(left, 0.0), TICK_SECONDS))

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
            self._trouble(self.exchange, "exchange_error", error)
            return wait_after(self.failures, error)
        except LedgerUnavailableError as error:
            self.failures += 1
            self._trouble(self.ledger, "ledger_unavailable", error)
            return wait_after(self.failures)
        self._over(self.exchange, "exchange_recovered")
        self._over(self.ledger, "ledger_recovered")
        # Where a bar has closed and still is not decided, the exchange has no candle of it yet, or none to believe.
        self.failures = 0 if decided else self.failures + 1
        return min(LONGEST_WAIT, 10.0 * 2.0 ** min(self.failures, 16))

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
