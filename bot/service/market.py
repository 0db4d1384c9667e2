"""One market in the daemon: when it is due, its poll under way, and what its exchange's answers have been like."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from bot.clock import newest_closed
from bot.errors import (
    ExchangeError,
    ExchangeRefusedError,
    LedgerInUseError,
    LedgerUnavailableError,
    ModelError,
    UnknownSymbolError,
    WrongMarketError,
)
from bot.market import MAX_RETRY_WAIT, retry_wait
from bot.observers import Outage
from bot.service.poll import Poll
from bot.service.poller import Poller
from bot.service.waiter import Waiter
from bot.trading import Trader

log = structlog.get_logger()
MAX_DELAY: Final = 1e10  # seconds; a longer delay would be lost in the rounding of times


class Market:
    """A market's poller with the poll that is under way, if any. Its troubles are its own."""

    def __init__(self, poller: Poller, poll_delay: float) -> None:
        self.poller, self.delay = poller, min(poll_delay, MAX_DELAY)
        self.outage, self.model_outage = Outage(), Outage()
        self.failures = self.refusals = 0
        self.not_before = time.monotonic()
        self.poll: Poll | None = None
        self.next_traders: list[Trader] | None = None  # to go on with once no poll is under way

    def seconds_left(self) -> float:
        """Seconds of the machine until there is something to do for it; infinite while the exchange is asked."""
        if self.poll is not None:
            return float("inf") if self.poll.waits else 0.0
        clock = self.poller.clock
        if self.poller.is_up_to_date(clock.now() - self.delay):
            return clock.real(self.until_due())
        return self.not_before - time.monotonic()

    def until_due(self) -> float:
        """Seconds of the clock until `delay` after the next close."""
        now, bar = self.poller.clock.now(), self.poller.bar
        return float(newest_closed(now - self.delay, bar) + 2 * bar + self.delay - now)

    def advance(self, waiter: Waiter) -> bool:
        """Begin a poll, or go one step on with the one under way; whether one has ended.

        Raises UnknownSymbolError where the exchange lacks the symbol and the ledger has no candle of the market, and
        what the ledger raises. A failure of the exchange, or of a policy that is somebody's code, is recorded, and the
        next poll comes later.
        """
        poll, self.poll = self.poll or Poll(self.poller, waiter), None
        try:
            if not poll.advance():
                self.poll = poll
                return False
        except UnknownSymbolError as error:
            self._raise_where_nothing_is_decided(error)
            self._exchange_failed(ExchangeError(str(error)))
        except (WrongMarketError, ExchangeError) as error:
            self._exchange_failed(error if isinstance(error, ExchangeError) else ExchangeError(str(error)))
        except ModelError as error:
            self._failed(self.model_outage, "model_failed", error)
            self.put_off(min(retry_wait(self.failures), self.until_due()))  # it may be a challenger's alone
        else:
            if not poll.discarded:
                self._decided(poll.bars)
        return True

    def put_off(self, seconds: float) -> None:
        """Leave it alone for so long, on its clock, should anything still be due."""
        self.not_before = time.monotonic() + self.poller.clock.real(seconds)

    def use(self, traders: Sequence[Trader]) -> None:
        """Go on with these traders. Raises what `Poller.use` does."""
        self.next_traders = None
        self.poller.use(traders)

    def discard(self) -> None:
        """Decide nothing more of the poll under way."""
        if self.poll is not None:
            self.poll.discard()

    def _decided(self, bars: int) -> None:
        self._over(self.outage, "exchange_recovered")
        self._over(self.model_outage, "model_recovered")
        # Where a bar has closed and still is not decided, the exchange has no candle of it yet, or none to trust.
        log.debug("poll", market=self.poller.market, bars=bars)
        self.refusals = 0
        self.failures = 0 if bars else self.failures + 1
        self.put_off(min(MAX_RETRY_WAIT, 10.0 * 2.0 ** min(self.failures, 16)))

    def _exchange_failed(self, error: ExchangeError) -> None:
        refused = isinstance(error, ExchangeRefusedError)
        self.refusals = self.refusals + 1 if refused else 0
        self.poller.observers.on_event("poll_failed", cause="exchange")
        self._failed(self.outage, "exchange_error", error)
        self.put_off(retry_wait(self.refusals if refused else self.failures, error))

    def _failed(self, outage: Outage, kind: str, error: Exception) -> None:
        self.failures += 1
        change = outage.failed(self.poller.clock.now())
        if change is not None:
            self.poller.tell("error", kind, error=str(error), **change)

    def _over(self, outage: Outage, kind: str) -> None:
        change = outage.over(self.poller.clock.now())
        if change is not None:
            self.poller.tell("info", kind, **change)

    def _raise_where_nothing_is_decided(self, error: UnknownSymbolError) -> None:
        with suppress(LedgerUnavailableError, LedgerInUseError):  # not known now: stay, and ask again
            if not self.poller.has_decisions():
                raise error if self.poller.label is None else UnknownSymbolError(f"market {self.poller.name}: {error}")
