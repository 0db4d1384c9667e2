"""The daemon: start when the ledger is there, run the loop, stop between two bars."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from bot import __version__
from bot.clock import Clock
from bot.errors import LedgerUnavailableError
from bot.market import retry_wait
from bot.observers import Observers, Outage, notify
from bot.service.loop import Loop
from bot.service.market import MAX_DELAY
from bot.service.markets import Markets
from bot.service.schedule import Alarm
from bot.service.waiter import HEARTBEAT_SECONDS, Stopped, Waiter

T = TypeVar("T")
log = structlog.get_logger()


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


def run(markets: Markets, poll_delay: float, waiter: Waiter) -> None:
    """Poll each market `poll_delay` seconds after each of its closes until the waiter is stopped. An exchange that is
    down and a disk that is full are waited out; a model that is promoted meanwhile takes over between two bars.

    Raises LedgerError for a ledger that has become unusable, UsageError for a symbol that the exchange lacks.
    """
    accounts = {trader.terms.name: trader.model.model_id for trader in markets.watcher.traders}
    markets.note("started", version=__version__, accounts=accounts, pid=os.getpid())
    series = [market.poller.market for market in markets]
    more = {"markets": len(series)} if len(series) > 1 else {}
    log.info("started", version=__version__, market=series[0], **more, accounts=accounts, pid=os.getpid())
    markets.alarm = Alarm(markets.clock, min(poll_delay, MAX_DELAY), waiter.wake)
    for market in markets:
        markets.alarm.ring_after(market.poller.bar)
    try:
        notify("READY=1")
        Loop(markets, waiter).run()
    finally:
        notify("STOPPING=1")
        markets.alarm.end()
    markets.note("stopped", pid=os.getpid())
    log.info("stopped")


def call_on(signals: Sequence[signal.Signals], action: Callable[[], object]) -> None:
    """Call `action` when one of the signals comes."""
    for number in signals:
        signal.signal(number, lambda *_: action())
