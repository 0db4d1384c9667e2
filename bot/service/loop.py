"""The loop. What is to be done is always read from the ledger; timers and answers only wake it up."""

import resource
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import structlog

from bot.clock import utc
from bot.errors import (
    LedgerError,
    LedgerGoneError,
    LedgerInUseError,
    LedgerReplacedError,
    LedgerUnavailableError,
    ModelError,
    UnknownSymbolError,
    UsageError,
)
from bot.ledger import continues, newest_link, open_writer
from bot.market import retry_wait
from bot.observers import Outage, notify, watchdog_seconds
from bot.service.market import Market
from bot.service.markets import Markets
from bot.service.waiter import Waiter
from bot.trading import Trader

TICK_SECONDS: Final = 1.0  # wakes the loop by the monotonic clock, whatever happens to the machine's
SWAP_SECONDS: Final = 0.5  # models are swapped right after a poll, or this long before the next: no bar waits for it
HEARTBEAT_SECONDS: Final = 900.0
GONE_SECONDS: Final = 600.0  # that a ledger's file may be missing

log = structlog.get_logger()


class Loop:
    """Asks the exchanges when bars are due, decides in this one thread as their answers come, swaps models between two
    polls, and watches the ledger's file.
    """

    def __init__(self, markets: Markets, waiter: Waiter) -> None:
        self.markets, self.waiter = markets, waiter
        self.ledger_outage = Outage()
        self.ledger_failures = 0
        self.gone_since: float | None = None
        self.watchdog = watchdog_seconds()
        self.fed = 0.0

    def run(self) -> None:
        """Until the waiter is stopped. Raises LedgerError, also where the ledger's file is missing at the end."""
        beat = time.monotonic()
        while not self.waiter.stopping:
            self._feed_watchdog()
            self._report_observers()
            self.markets.pauses.accounts()  # says in the log what has been asked for
            if self._has_file():
                for market in self.markets:
                    market.poller.check_clock()
                polled = self._advance()
                if polled or min(self._seconds_left(polling=False)) > SWAP_SECONDS:
                    self._swap_models()
            if time.monotonic() >= beat + HEARTBEAT_SECONDS:
                beat = time.monotonic()
                self._log_heartbeat()
            left = min(self._seconds_left(polling=True)) if self.gone_since is None else TICK_SECONDS
            if left > 0:
                self.waiter.wait(min(left, TICK_SECONDS))
        for market in self.markets:
            market.discard()
        if self.gone_since is not None:
            raise LedgerGoneError(f"the ledger {self.markets.ledger.name} is gone: put it back, or restore a backup")

    def _seconds_left(self, *, polling: bool) -> list[float]:
        """Seconds until there is something to do, of each market; without `polling`, only of those not being polled."""
        return [market.seconds_left() for market in self.markets if polling or market.poll is None] or [float("inf")]

    # ---- what

    def _advance(self) -> bool:
        """Go on with every market for which there is something to do, one bar each; whether a poll has ended."""
        ended = False
        for market in list(self.markets):
            if market.seconds_left() > 0 or self.waiter.stopping:
                continue
            try:
                if market.advance(self.waiter):
                    ended = True
                    self._ledger_answered()
            except UnknownSymbolError as error:
                if market not in self.markets.added:
                    raise
                self.markets.drop(market, str(error))
            except LedgerReplacedError:
                self._adopt_file()
            except (LedgerUnavailableError, LedgerInUseError) as error:  # the lock is lost with its connection
                self._ledger_failed(market, error)
        return ended

    def _ledger_answered(self) -> None:
        self.ledger_failures = 0
        change = self.ledger_outage.over(self.markets.clock.now())
        if change is not None:
            self.markets.tell("info", "ledger_recovered", **change)

    def _ledger_failed(self, market: Market, error: Exception) -> None:
        self.ledger_failures += 1
        market.put_off(retry_wait(self.ledger_failures))
        self.markets.observers.on_event("poll_failed", cause="ledger")
        change = self.ledger_outage.failed(self.markets.clock.now())
        if change is not None:
            self.markets.tell("error", "ledger_unavailable", error=str(error), **change)

    def _swap_models(self) -> None:
        """Go on with the models and markets that the settings and the registry name now, where they are other ones and
        usable; a market that is being polled goes on when it is done.
        """
        reload = self.markets.watcher.reload()
        if reload is not None:
            for sentence in reload.rejected:
                self._reject(sentence)
            for sentence in self.markets.set_traders(reload.traders):
                self._reject(sentence)
        for market in self.markets:
            if market.poll is None and market.next_traders is not None:
                self._use(market, market.next_traders)

    def _use(self, market: Market, traders: Sequence[Trader]) -> None:
        try:
            market.use(traders)
        except (UsageError, ModelError) as error:
            self._reject(str(error))
        except (LedgerUnavailableError, LedgerInUseError):
            market.next_traders = list(traders)
        else:
            self.markets.show_accounts()
            log.info("models", **{trader.terms.name: trader.model.model_id for trader in traders})

    def _reject(self, sentence: str) -> None:
        if sentence.startswith(("settings", "market ")):
            self.markets.tell("warning", "settings_rejected", error=sentence)
            return
        log.warning("model_rejected", error=sentence)
        self.markets.note("model_rejected", error=sentence, pointer=self.markets.watcher.pointed_model())

    # ---- the ledger's file

    def _has_file(self) -> bool:
        """Whether the ledger's file is where it was.

        Raises LedgerError where it has been missing for GONE_SECONDS, or another file is there that does not continue
        this daemon's ledger.
        """
        try:
            self.markets.ledger.check_file()
        except LedgerGoneError as error:
            if self.gone_since is None:
                self.gone_since = time.monotonic()
                log.error("ledger_unavailable", error=str(error))  # noqa: TRY400 - a sentence, no traceback
                self.markets.observers.on_event("ledger_unavailable", error=str(error))
            if time.monotonic() >= self.gone_since + GONE_SECONDS:
                raise LedgerError(f"{error}; it has been missing for {GONE_SECONDS / 60:.0f} minutes") from error
            return False
        except LedgerReplacedError:
            self._adopt_file()
        except LedgerUnavailableError:
            return True  # the poll reports it
        if self.gone_since is not None:
            log.info("ledger_recovered", for_seconds=round(time.monotonic() - self.gone_since))
            self.markets.observers.on_event("ledger_recovered")
            self.gone_since = None
        return True

    def _adopt_file(self) -> None:
        """Go on with the file that took the ledger's place. Raises LedgerReplacedError where its end is not one of this
        ledger's own bars.
        """
        before, url = self.markets.ledger, self.markets.watcher.settings.ledger.url
        if not continues(before, url):
            before.check_file()
        self.markets.go_on_with(open_writer(url))
        before.close()
        self.markets.tell("warning", "ledger_replaced", ledger=self.markets.ledger.name)

    # ---- telling

    def _feed_watchdog(self) -> None:
        """Tell systemd that the loop goes round and the ledger answers; a hanging one starves it. A ledger that says
        that it cannot be used now has answered: a restart would not help it.
        """
        if self.watchdog and time.monotonic() >= self.fed + self.watchdog / 4:
            if self.gone_since is None:
                with suppress(LedgerUnavailableError, LedgerInUseError), self.markets.ledger.reading() as connection:
                    newest_link(connection, self.markets.first.name)
            notify("WATCHDOG=1")
            self.fed = time.monotonic()

    def _report_observers(self) -> None:
        """An observer that is down cannot say so itself."""
        for kind, detail in self.markets.observers.outage_events(self.markets.clock.now()):
            self.markets.tell("warning", kind, **detail)

    def _log_heartbeat(self) -> None:
        bars = [market.poller.account_states[0].bar_time for market in self.markets]
        oldest = None if None in bars else min(bar for bar in bars if bar is not None)
        detail: dict[str, Any] = {"markets": len(bars)} if len(bars) > 1 else {}
        failing = [market.poller.name for market in self.markets if market.outage.since is not None]
        log.info(
            "heartbeat",
            newest_bar=utc(oldest) if oldest is not None else None,
            failures=sum(market.failures for market in self.markets),
            **detail,
            **({"failing": failing} if failing and detail else {}),
            due=utc(self.markets.clock.now() + min(market.until_due() for market in self.markets)),
            most_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        )
