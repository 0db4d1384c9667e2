"""The daemon: start when the ledger is there, run the loop, stop between two bars."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import structlog

from bot import __version__
from bot.clock import Clock
from bot.errors import ExchangeError, ExchangeRefusedError, LedgerUnavailableError
from bot.market import retry_wait
from bot.observers import Observers, Outage, notify
from bot.service.loop import MAX_DELAY, Loop
from bot.service.poller import Poller
from bot.service.schedule import start_alarm
from bot.service.traders import TraderWatcher
from bot.service.waiter import HEARTBEAT_SECONDS, Stopped, Waiter

ONCE_SECONDS: Final = 30.0

T = TypeVar("T")
log = structlog.get_logger()


def poll_once(poller: Poller) -> int:
    """One poll, tried for at most ONCE_SECONDS; how many bars it decided.

    Raises ExchangeError where the exchange gives no usable answer, and what `Poller.poll` raises.
    """
    deadline = poller.waiter.deadline = time.monotonic() + ONCE_SECONDS
    failures = 0
    while True:
        try:
            return poller.poll()
        except ExchangeError as error:
            failures += 1
            wait = poller.clock.real(retry_wait(failures, error))
            if isinstance(error, ExchangeRefusedError) or time.monotonic() + wait >= deadline:
                poller.note("exchange_error", error=str(error), failures=failures)
                raise
            log.warning("exchange_error", error=str(error), again_in_seconds=round(wait, 1))
            poller.waiter.wait(wait)
            if poller.waiter.stopping:
                raise Stopped from error


def wait_for_ledger(attempt: Callable[[], T], clock: Clock, waiter: Waiter, observers: Observers) -> T:
    """What `attempt()` returns once the ledger can be used; systemd is notified that the daemon is up and waits.

    Raises Stopped where `waiter` is stopped meanwhile, and every error that no waiting mends.
    """
    outage, failures = Outage(), 0
    while True:
        try:
            result = attempt()
        except LedgerUnavailableError as error:
            failures += 1
            change = outage.failed(clock.now())
            if change is not None:
                log.error("ledger_unavailable", error=str(error), **change)  # noqa: TRY400 - a sentence, no traceback
                observers.on_event("ledger_unavailable", error=str(error), **change)
            notify("READY=1")
            notify(f"STATUS=waiting for the ledger: {error}")
            _wait(waiter, retry_wait(failures))
        else:
            change = outage.over(clock.now())
            if change is not None:
                log.info("ledger_recovered", **change)
                observers.on_event("ledger_recovered", **change)
            return result


def _wait(waiter: Waiter, seconds: float) -> None:
    """Wait, and keep systemd's watchdog fed. Raises Stopped where the waiter is stopped."""
    end = time.monotonic() + seconds
    while not waiter.stopping and time.monotonic() < end:
        notify("WATCHDOG=1")
        waiter.wait(min(HEARTBEAT_SECONDS, end - time.monotonic()))
    if waiter.stopping:
        raise Stopped


def run(poller: Poller, poll_delay: float, watcher: TraderWatcher) -> None:
    """Poll `poll_delay` seconds after each close until the poller's waiter is stopped. An exchange that is down and a
    disk that is full are waited out; a model that is promoted meanwhile takes over between two bars.

    Raises LedgerError for a ledger that has become unusable, UsageError for a symbol that the exchange lacks.
    """
    accounts = {account.trader.terms.name: account.trader.model.model_id for account in poller.account_states}
    poller.note("started", version=__version__, accounts=accounts, pid=os.getpid())
    log.info("started", version=__version__, market=poller.market, accounts=accounts, pid=os.getpid())
    alarm = start_alarm(poller.clock, poller.bar, min(poll_delay, MAX_DELAY), poller.waiter.wake)
    try:
        notify("READY=1")
        Loop(poller, poll_delay, watcher).run()
    finally:
        notify("STOPPING=1")
        alarm.shutdown(wait=False)
    poller.note("stopped", pid=os.getpid())
    log.info("stopped")


def call_on(signals: Sequence[signal.Signals], action: Callable[[], object]) -> None:
    """Call `action` when one of the signals comes."""
    for number in signals:
        signal.signal(number, lambda *_: action())
