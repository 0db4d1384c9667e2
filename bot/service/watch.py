"""What a poll notices beside its candles: clock skew, a stale feed, suspect prices, revisions."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from bot.clock import Clock, utc
from bot.errors import ExchangeError
from bot.ledger import Ledger, new_revisions, read_events
from bot.market import Candle, reconcile
from bot.observers import BACKWARD, Outage

SKEW_WARNING: Final = 60.0  # seconds
OVERLAP_POLLS: Final = 3
OVERLAP_SECONDS: Final = 7200.0
STALE_BARS: Final = 6  # an exchange whose newest closed candle is older has stopped serving new ones

log = structlog.get_logger()


class FeedWatch:
    """Logs and records what is wrong with a market's feed, each trouble once and again as it lasts."""

    def __init__(self, clock: Clock, bar: int, note: Callable[..., None], label: str | None = None) -> None:
        """`note(kind, **detail)` records an event, with `label` as its `market` where that is not None."""
        self.clock, self.bar, self.note, self.label = clock, bar, note, label
        self._whose = {} if label is None else {"market": label}
        self._skew, self._stale, self._behind = Outage(), Outage(), Outage()
        self._suspect: Candle | None = None

    def check_skew(self, skew: float | None) -> None:
        """Report a clock that is more than SKEW_WARNING seconds off the exchange's."""
        self._report(self._skew, "clock_skew", abs(skew or 0.0) > SKEW_WARNING, seconds=skew)

    def check_clock(self, newest: int | None) -> None:
        """Report a clock by which the newest decided bar has not closed: nothing is decided until it has."""
        behind = newest is not None and self.clock.now() < newest + self.bar - BACKWARD
        self._report(self._behind, "clock_behind", behind, bar_time=newest)

    def check_age(self, newest: Candle, *, has_accounts: bool) -> None:
        """Report a feed whose newest closed candle is old.

        Raises ExchangeError where no account has begun yet: none begins on old candles.
        """
        stale = self.clock.now() - newest.bar_time - self.bar > STALE_BARS * self.bar
        if stale and not has_accounts:
            raise ExchangeError(f"the exchange's newest closed candle is of {utc(newest.bar_time)}: the feed is stale")
        self._report(self._stale, "stale_feed", stale, bar_time=newest.bar_time)

    def check_overlap(self, ledger: Ledger, stored: Sequence[Candle], fetched: Sequence[Candle]) -> None:
        """Accept that the exchange no longer has any of the stored candles only after it lacked them in several polls
        over hours: what lies between becomes synthetic for good. The polls are counted in the ledger, so `run --once`
        counts, too.

        Raises ExchangeError until then.
        """
        if not reconcile.lacks_overlap(stored, fetched):
            return
        now, newest = self.clock.now(), stored[-1].bar_time
        with ledger.reading() as connection:
            events = [event for event in read_events(connection, "missing_overlap") if event["stored"] == newest]
        seen = [event["at"] for event in events if event.get("market") == self.label]
        if len(seen) >= OVERLAP_POLLS and now - seen[0] >= OVERLAP_SECONDS:
            return
        self.note("missing_overlap", at=now, stored=newest, fetched=fetched[0].bar_time)
        raise ExchangeError(f"the exchange has none of the stored candles up to {utc(newest)}, only later ones")

    def check_suspect(self, suspect: Candle | None, *, has_accounts: bool) -> None:
        """Report a price that waits to be confirmed, once. Raises ExchangeError where no account has begun yet."""
        if suspect is not None and suspect != self._suspect:
            log.warning("suspect", time=utc(suspect.bar_time), candle=list(suspect[1:6]), **self._whose)
            self.note("suspect", bar_time=suspect.bar_time, candle=list(suspect[1:6]), at=self.clock.now())
        self._suspect = suspect
        if suspect is not None and not has_accounts:
            raise ExchangeError("the newest candle is not confirmed yet, and a new account begins only there")

    def check_revisions(self, ledger: Ledger, revisions: Sequence[tuple[Candle, Candle]]) -> None:
        """Record candles that the exchange has changed since they were stored, each version once."""
        if not revisions:
            return
        with ledger.reading() as connection:
            details = new_revisions(connection, [reconcile.revision_detail(*pair) | self._whose for pair in revisions])
        for detail in details:
            log.warning("revision", **detail)
            self.note("revision", **detail)

    def _report(self, outage: Outage, kind: str, is_wrong: bool, **detail: Any) -> None:  # noqa: FBT001 - the state itself
        now = self.clock.now()
        change = outage.failed(now) if is_wrong else outage.over(now)
        if change is not None:
            kind = kind if is_wrong else f"{kind}_over"
            log.warning(kind, **detail, **change, **self._whose)
            self.note(kind, **detail, **change)
