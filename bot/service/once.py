"""`run --once`: one poll of every market, side by side, each tried for so long and no longer."""

import time
from collections.abc import Iterable
from typing import Any, Final

import structlog

from bot.errors import (
    ExchangeError,
    ExchangeRefusedError,
    HourhandError,
    ModelError,
    UnknownSymbolError,
    WrongMarketError,
)
from bot.market import retry_wait
from bot.service.poll import Poll
from bot.service.poller import Poller
from bot.service.waiter import Waiter

ONCE_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.5  # a market's time begins with its first request, which nothing announces

log = structlog.get_logger()


class Attempt:
    """What became of one market: `bars` decided, and the `error` that ended it, None where it was asked."""

    def __init__(self, poller: Poller, waiter: Waiter) -> None:
        self.poller, self.bars = poller, 0
        self.error: HourhandError | None = None
        self.over = False
        self._waiter, self._poll = waiter, Poll(poller, waiter)
        self._failures, self._not_before = 0, 0.0
        self._failed_first: float | None = None

    def seconds_left(self) -> float:
        """Until there is something to do for it."""
        now = time.monotonic()
        if self._poll.waits:
            return self._deadline() - now
        return self._not_before - now

    def advance(self) -> None:
        """Go a step on, where there is something to do."""
        if self._poll.waits:
            self._poll.discard()
            self._end(ExchangeError("the exchange did not answer in time"))
            return
        try:
            if self._poll.advance():
                self.bars, self.over = self._poll.bars, True
        except (UnknownSymbolError, WrongMarketError, ModelError) as error:
            self.error, self.over = error, True
        except ExchangeError as error:
            self._failed(error)

    def discard(self) -> None:
        """Give it up."""
        self._poll.discard()

    def _failed(self, error: ExchangeError) -> None:
        self._failures += 1
        now = time.monotonic()
        if self._failed_first is None:
            self._failed_first = now
        wait = self.poller.clock.real(retry_wait(self._failures, error))
        if isinstance(error, ExchangeRefusedError) or now + wait >= self._deadline():
            self._end(error)
            return
        log.warning("exchange_error", error=str(error), again_in_seconds=round(wait, 1), **self.poller.whose)
        self._poll, self._not_before = Poll(self.poller, self._waiter), now + wait

    def _end(self, error: ExchangeError) -> None:
        self.poller.note("exchange_error", error=str(error), failures=max(self._failures, 1))
        self.error, self.over = error, True

    def _deadline(self) -> float:
        """ONCE_SECONDS after its first request; it may wait for its turn for as long as it takes."""
        began = [moment for moment in (self.poller.feed.first_asked, self._failed_first) if moment is not None]
        return min(began, default=float("inf")) + ONCE_SECONDS


def poll_once(pollers: Iterable[Poller], waiter: Waiter) -> list[Attempt]:
    """One poll of each market, for at most ONCE_SECONDS from its first request, until the waiter is stopped.

    Raises LedgerError where the ledger cannot be used; whatever else goes wrong with one market is that one's `error`.
    """
    attempts = [Attempt(poller, waiter) for poller in pollers]
    while not waiter.stopping and not all(attempt.over for attempt in attempts):
        under_way = [attempt for attempt in attempts if not attempt.over]
        for attempt in under_way:
            if attempt.seconds_left() <= 0:
                attempt.advance()
        left = min((attempt.seconds_left() for attempt in under_way if not attempt.over), default=0.0)
        waiter.wait(min(left, _LOOK_SECONDS))
    for attempt in attempts:
        if not attempt.over:
            attempt.discard()
    return attempts


def raise_failures(attempts: list[Attempt]) -> None:
    """Raises the error of a market that was not decided: one that asking again does not mend before any other; where
    there are several markets, with their names.
    """
    failed = [attempt for attempt in attempts if attempt.error is not None]
    failed.sort(key=lambda attempt: isinstance(attempt.error, ExchangeError))
    if not failed or failed[0].error is None:
        return
    if len(attempts) == 1:
        raise failed[0].error
    sentences = "; ".join(f"{attempt.poller.name}: {attempt.error}" for attempt in failed)
    kind: type[Any] = type(failed[0].error)
    raise kind(f"{len(failed)} of {len(attempts)} markets were not decided: {sentences}")
