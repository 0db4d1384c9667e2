"""The loop. What is to be done is always read from the ledger; timers only wake it up."""

import resource
import time
from contextlib import suppress
from typing import Final

import structlog

from bot.clock import newest_closed, utc
from bot.errors import (
    ExchangeError,
    ExchangeRefusedError,
    LedgerError,
    LedgerGoneError,
    LedgerInUseError,
    LedgerReplacedError,
    LedgerUnavailableError,
    ModelError,
    UnknownSymbolError,
    UsageError,
    WrongMarketError,
)
from bot.ledger import continues, open_writer
from bot.market import MAX_RETRY_WAIT, retry_wait
from bot.observers import Outage, notify, watchdog_seconds
from bot.service.poller import Poller
from bot.service.traders import TraderWatcher
from bot.service.waiter import Stopped

TICK_SECONDS: Final = 1.0  # wakes the loop by the monotonic clock, whatever happens to the machine's
SWAP_SECONDS: Final = 0.5  # models are swapped right after a poll, or this long before the next: no bar waits for it
HEARTBEAT_SECONDS: Final = 900.0
GONE_SECONDS: Final = 600.0  # that a ledger's file may be missing
MAX_DELAY: Final = 1e10  # seconds; a longer delay would be lost in the rounding of times

log = structlog.get_logger()


class Loop:
    """Polls when a bar is due, swaps models between two bars, and watches the ledger's file."""

    def __init__(self, poller: Poller, poll_delay: float, watcher: TraderWatcher) -> None:
        self.poller, self.watcher, self.delay = poller, watcher, min(poll_delay, MAX_DELAY)
        self.exchange_outage, self.ledger_outage = Outage(), Outage()
        self.failures = self.refusals = 0
        self.not_before = time.monotonic()
        self.gone_since: float | None = None
        self.watchdog = watchdog_seconds()
        self.fed = 0.0
        poller.waiter.heartbeat = self._feed_watchdog

    def run(self) -> None:
        """Until the waiter is stopped. Raises LedgerError, also where the ledger's file is missing at the end."""
        clock, waiter = self.poller.clock, self.poller.waiter
        beat = time.monotonic()
        while not waiter.stopping:
            self._feed_watchdog()
            self._report_observers()
            if self._has_file():
                due = self._seconds_left() <= 0
                if due:
                    wait = self._attempt()
                    self.not_before = time.monotonic() + clock.real(wait)
                if due or self._seconds_left() > SWAP_SECONDS:
                    self._swap_models()
            if time.monotonic() >= beat + HEARTBEAT_SECONDS:
                beat = time.monotonic()
                self._log_heartbeat()
            waiter.wait(min(max(self._seconds_left(), 0.0), TICK_SECONDS) if self.gone_since is None else TICK_SECONDS)
        if self.gone_since is not None:
            raise LedgerGoneError(f"the ledger {self.poller.ledger.name} is gone: put it back, or restore a backup")

    # ---- when

    def _seconds_left(self) -> float:
        """Seconds of the machine until the next poll; 0 or less where it is due."""
        clock = self.poller.clock
        if self.poller.is_up_to_date(clock.now() - self.delay):
            return clock.real(self._until_due())
        return self.not_before - time.monotonic()

    def _until_due(self) -> float:
        """Seconds until `delay` after the next close."""
        now, bar = self.poller.clock.now(), self.poller.bar
        return float(newest_closed(now - self.delay, bar) + 2 * bar + self.delay - now)

    # ---- what

    def _attempt(self) -> float:
        """One poll; how many seconds to leave the exchange alone afterwards, should anything still be due."""
        try:
            decided = self.poller.poll()
        except Stopped:
            return 0.0
        except UnknownSymbolError as error:
            self._raise_where_nothing_is_decided(error)
            return self._exchange_failed(ExchangeError(str(error)))
        except (WrongMarketError, ExchangeError) as error:
            return self._exchange_failed(error if isinstance(error, ExchangeError) else ExchangeError(str(error)))
        except LedgerReplacedError:
            self._adopt_file()
            return 0.0
        except (LedgerUnavailableError, LedgerInUseError) as error:  # the lock is lost with its connection
            self.failures += 1
            self.poller.observers.on_event("poll_failed", cause="ledger")
            self._report_failure(self.ledger_outage, "ledger_unavailable", error)
            return retry_wait(self.failures)
        self._report_recovery(self.exchange_outage, "exchange_recovered")
        self._report_recovery(self.ledger_outage, "ledger_recovered")
        # Where a bar has closed and still is not decided, the exchange has no candle of it yet, or none to trust.
        self.refusals = 0
        self.failures = 0 if decided else self.failures + 1
        return min(MAX_RETRY_WAIT, 10.0 * 2.0 ** min(self.failures, 16))

    def _raise_where_nothing_is_decided(self, error: UnknownSymbolError) -> None:
        with suppress(LedgerUnavailableError, LedgerInUseError):  # not known now: stay, and ask again
            if not self.poller.has_decisions():
                raise error

    def _exchange_failed(self, error: ExchangeError) -> float:
        self.failures += 1
        refused = isinstance(error, ExchangeRefusedError)
        self.refusals = self.refusals + 1 if refused else 0
        self.poller.observers.on_event("poll_failed", cause="exchange")
        self._report_failure(self.exchange_outage, "exchange_error", error)
        return retry_wait(self.refusals if refused else self.failures, error)

    def _swap_models(self) -> None:
        """Go on with the models that the settings and the registry name now, where they are other ones and usable."""
        poller = self.poller
        try:
            reload = self.watcher.reload()
            if reload is None:
                return
            poller.use(reload.traders)
        except (ModelError, UsageError) as error:
            self._reject_model(str(error))
        except (LedgerUnavailableError, LedgerInUseError):
            self.watcher.recheck()
        else:
            for sentence in reload.rejected:
                self._reject_model(sentence)
            log.info("models", **{trader.terms.name: trader.model.model_id for trader in reload.traders})

    def _reject_model(self, sentence: str) -> None:
        log.warning("model_rejected", error=sentence)
        self.poller.note("model_rejected", error=sentence, pointer=self.watcher.pointed_model())

    # ---- the ledger's file

    def _has_file(self) -> bool:
        """Whether the ledger's file is where it was.

        Raises LedgerError where it has been missing for GONE_SECONDS, or another file is there that does not continue
        this daemon's ledger.
        """
        try:
            self.poller.ledger.check_file()
        except LedgerGoneError as error:
            if self.gone_since is None:
                self.gone_since = time.monotonic()
                log.error("ledger_unavailable", error=str(error))  # noqa: TRY400 - a sentence, no traceback
                self.poller.observers.on_event("ledger_unavailable", error=str(error))
            if time.monotonic() >= self.gone_since + GONE_SECONDS:
                raise LedgerError(f"{error}; it has been missing for {GONE_SECONDS / 60:.0f} minutes") from error
            return False
        except LedgerReplacedError:
            self._adopt_file()
        except LedgerUnavailableError:
            return True  # the poll reports it
        if self.gone_since is not None:
            log.info("ledger_recovered", for_seconds=round(time.monotonic() - self.gone_since))
            self.poller.observers.on_event("ledger_recovered")
            self.gone_since = None
        return True

    def _adopt_file(self) -> None:
        """Go on with the file that took the ledger's place. Raises LedgerReplacedError where its end is not one of this
        ledger's own bars.
        """
        poller, url = self.poller, self.watcher.settings.ledger.url
        if not continues(poller.ledger, url):
            poller.ledger.check_file()
        before, poller.ledger = poller.ledger, open_writer(url)
        before.close()
        poller.use([account.trader for account in poller.account_states])
        log.warning("ledger_replaced", ledger=poller.ledger.name)

    # ---- telling

    def _feed_watchdog(self) -> None:
        """Tell systemd that the loop goes round and the ledger answers; a hanging one starves it. A ledger that says
        that it cannot be used now has answered: a restart would not help it.
        """
        if self.watchdog and time.monotonic() >= self.fed + self.watchdog / 4:
            if self.gone_since is None:
                with suppress(LedgerUnavailableError, LedgerInUseError):
                    self.poller.check_ledger()
            notify("WATCHDOG=1")
            self.fed = time.monotonic()

    def _report_observers(self) -> None:
        """An observer that is down cannot say so itself."""
        for kind, detail in self.poller.observers.outage_events(self.poller.clock.now()):
            log.warning(kind, **detail)
            self.poller.note(kind, **detail)

    def _report_failure(self, outage: Outage, kind: str, error: Exception) -> None:
        change = outage.failed(self.poller.clock.now())
        if change is not None:
            log.error(kind, error=str(error), **change)
            self.poller.note(kind, error=str(error), **change)

    def _report_recovery(self, outage: Outage, kind: str) -> None:
        change = outage.over(self.poller.clock.now())
        if change is not None:
            log.info(kind, **change)
            self.poller.note(kind, **change)

    def _log_heartbeat(self) -> None:
        bar_time = self.poller.account_states[0].bar_time
        log.info(
            "heartbeat",
            newest_bar=utc(bar_time) if bar_time is not None else None,
            failures=self.failures,
            due=utc(self.poller.clock.now() + self._until_due()),
            most_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        )
