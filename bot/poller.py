"""One poll: ask the exchange, decide every closed candle that the ledger has no decision for, and commit bar by bar."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog

from bot import plan, standing
from bot.candles import Candle, agrees, is_near, newest_closed
from bot.clock import Clock, utc
from bot.errors import ExchangeError, LedgerInUseError, LedgerUnavailableError
from bot.exchange import Feed
from bot.ledger import reading
from bot.ledger.store import Ledger
from bot.ledger.writing import Entry, add_event, commit_bars
from bot.observers import NOBODY, Observers
from bot.schedule import Outage
from bot.settings import Settings
from bot.standing import Standing
from bot.trader import CLOCK, MISSED, POLICY, SYNTHETIC, Quote, Trader
from bot.waiting import Stopped, Waiter

SKEW_WARNING: Final = 60.0  # seconds
STALE_BARS: Final = 6  # an exchange whose newest closed candle is older has stopped telling
_SPARE_BARS: Final = 24  # asked for beyond the warm-up, as the newest bars may be without a trade

T = TypeVar("T")
log = structlog.get_logger()


class Poller:
    """The accounts of one market, its exchange and its ledger. Call `poll` from one thread.

    The accounts see the same candles, and each bar of all of them is one transaction.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        traders: Sequence[Trader],
        feed: Feed,
        waiter: Waiter,
        observers: Observers = NOBODY,
    ) -> None:
        """`traders` are on one market, the first is the main one. Raises UsageError where the ledger's account was
        opened on other terms.
        """
        self.schedule, self.clock, self.ledger, self.feed, self.waiter = settings.schedule, clock, ledger, feed, waiter
        self.observers = observers
        self.market, self.bar = traders[0].terms.market, traders[0].terms.bar
        self._skew, self._stale = Outage(), Outage()
        self._suspect: Candle | None = None
        self.use(traders)

    def use(self, traders: Sequence[Trader]) -> None:
        """Go on with these, from where the ledger says that their accounts stand; between two bars only."""
        with self.ledger.reading() as connection:
            self.standings = [standing.resume(connection, trader, self.schedule.warmup_bars) for trader in traders]
        self._certain = True
        self.observers.stands(self.standings)

    def poll(self) -> int:
        """Ask for what is not decided yet and decide it; how many bars that were.

        Raises ExchangeError where the answer cannot be believed, LedgerError where a bar could not be written (it is
        as if it had not been decided), Stopped between two bars. What was committed before stays.
        """
        if not self._certain:
            self.use([account.trader for account in self.standings])
        with self.ledger.reading() as connection:
            end = newest_closed(self.clock.now(), self.bar) + self.bar  # another account may have seen later ones
            stored = reading.candles_between(connection, self.market, self._first_asked(), end)
        told = self._told(stored)
        made = plan.make_plan(stored, told, self.bar, self._believed)
        self._watch(made, told)
        return self._decide(made, {candle.bar_time for candle in stored})

    def is_up_to_date(self, now: float) -> bool:
        """Whether every bar that had closed at `now` is decided."""
        newest = newest_closed(now, self.bar)
        return all(account.bar_time is not None and account.bar_time >= newest for account in self.standings)

    def check_ledger(self) -> None:
        """Raises LedgerError where the ledger does not answer."""
        with self.ledger.reading() as connection:
            reading.last_link(connection, self.standings[0].trader.terms.name)

    def note(self, kind: str, **detail: Any) -> None:
        """Write an event of its own. A ledger that has no room for it does not stop the daemon."""
        self.observers.happened(kind, **detail)
        try:
            with self.ledger.writing() as connection:
                add_event(connection, self.clock.now(), kind, detail)
        except (LedgerUnavailableError, LedgerInUseError) as error:
            log.warning("event_lost", kind=kind, error=str(error))

    # ---- asking

    def _first_asked(self) -> int:
        decided = [account.bar_time for account in self.standings if account.bar_time is not None]
        newest = newest_closed(self.clock.now(), self.bar)
        first = min([*decided, newest]) - (plan.OVERLAP - 1) * self.bar
        if len(decided) < len(self.standings):
            bars = self.schedule.warmup_bars + _SPARE_BARS
            first = min(first, newest - bars * self.bar)
        return max(0, first)

    def _told(self, stored: Sequence[Candle]) -> list[Candle]:
        """The exchange's closed candles; asked for twice where the first answer has a hole or a suspect price."""
        since = self._first_asked()
        told = self._ask(lambda: self.feed.closed_candles(since))
        if plan.doubts(stored, told, self.bar):
            again = self._ask(lambda: self.feed.closed_candles(since))
            if again[: len(told)] != told:
                raise ExchangeError("the exchange gave two different answers to one question")
        return told

    def _believed(self, before: Candle, candle: Candle) -> bool:
        try:
            return agrees(before, candle, self._ask(self.feed.ticker).last)
        except ExchangeError:
            return False  # what came before it can be decided all the same

    def _ask(self, question: Callable[[], T]) -> T:
        return self.waiter.answer(question, self.feed.cut)

    # ---- deciding

    def _decide(self, made: plan.Plan, stored: set[int]) -> int:
        run = made.run
        newest = run[-1].bar_time
        warmup = run[max(0, len(run) - 1 - self.schedule.warmup_bars) : -1]
        accounts = [
            standing.fresh(account.trader, warmup, newest) if account.bar_time is None else account
            for account in self.standings
        ]
        # An account without a decision yet begins at the newest candle.
        decided = [newest - self.bar if account.bar_time is None else account.bar_time for account in accounts]
        oldest = min(decided)
        todo = [candle for candle in run if candle.bar_time > oldest]
        quote = self._quote(todo)
        # Stored with the first decision that stands on them, which is at the newest candle.
        begins = any(account.bar_time is None for account in accounts)
        if begins and len(warmup) < self.schedule.warmup_bars:
            log.warning("short_warmup", bars=len(warmup), wanted=self.schedule.warmup_bars)
        early = [c for c in warmup if begins and c.bar_time not in stored and c.bar_time <= oldest]
        for candle in todo:
            if self.waiter.stopping:
                raise Stopped
            reason = self._reason(candle)
            asked = quote if reason == POLICY and self._is_young(candle) else None
            due = [place for place, bar_time in enumerate(decided) if bar_time < candle.bar_time]
            entries = {place: accounts[place].decide(candle, reason, asked) for place in due}
            new = early if candle is todo[-1] else []
            new = [*new, candle] if candle.bar_time not in stored else new
            self._commit([accounts[place] for place in due], list(entries.values()), new, made.gaps)
            for place, entry in entries.items():
                accounts[place], decided[place] = accounts[place].after(entry), candle.bar_time
                report(entry)
            self.standings = list(accounts)
        return len(todo)

    def _commit(
        self,
        accounts: Sequence[Standing],
        entries: Sequence[Entry],
        candles: Sequence[Candle],
        gaps: Sequence[tuple[int, int]],
    ) -> None:
        written = {candle.bar_time for candle in candles}
        events: list[tuple[str, Mapping[str, Any]]] = [
            ("gap", {"bar_time": first, "bars": bars}) for first, bars in gaps if first in written
        ]
        for account, entry in zip(accounts, entries, strict=True):
            before, now = account.model_before, entry.step.decision.model_id
            if before not in (None, now):
                bar_time, name = entry.step.decision.bar_time, account.trader.terms.name
                events.append(("model_swapped", {"account": name, "bar_time": bar_time, "before": before, "now": now}))
        self._certain = False  # unknown until the commit has come back
        began = time.perf_counter()
        with self.ledger.writing() as connection:
            commit_bars(connection, candles, entries, [(self.clock.now(), *event) for event in events])
        self._certain = True
        self.observers.decided(entries, time.perf_counter() - began)
        for kind, detail in events:
            log.warning(kind, **detail)
            self.observers.happened(kind, **detail)

    def _reason(self, candle: Candle) -> str:
        if candle.synthetic:
            return SYNTHETIC
        if abs(self.feed.skew or 0.0) > self.schedule.max_decision_delay_seconds:
            return CLOCK
        return POLICY if self._is_young(candle) or self.schedule.catch_up == "trade" else MISSED

    def _quote(self, todo: Sequence[Candle]) -> Quote | None:
        """The ticker's best prices, where trades are filled at them and any candle is young enough."""
        if self.standings[0].trader.terms.fill == "close" or not todo:
            return None
        if not self._is_young(todo[-1]):
            return None
        ticker = self._ask(self.feed.ticker)
        if not (is_near(ticker.bid, todo[-1].close) and is_near(ticker.ask, todo[-1].close)):
            raise ExchangeError(f"the ticker, {ticker.bid} to {ticker.ask}, is far from the close, {todo[-1].close}")
        return Quote(ticker.bid, ticker.ask)

    def _is_young(self, candle: Candle) -> bool:
        return self._age(candle) <= self.schedule.max_decision_delay_seconds

    def _age(self, candle: Candle) -> float:
        return self.clock.now() - candle.bar_time - self.bar

    # ---- watching

    def _watch(self, made: plan.Plan, told: Sequence[Candle]) -> None:
        now, skew = self.clock.now(), self.feed.skew
        self._trouble(self._skew, "clock_skew", abs(skew or 0.0) > SKEW_WARNING, seconds=skew)
        old = self._age(told[-1]) > STALE_BARS * self.bar
        if old and all(account.bar_time is None for account in self.standings):
            raise ExchangeError(
                f"the exchange's newest closed candle is of {utc(told[-1].bar_time)}: it has gone stale"
            )
        self._trouble(self._stale, "stale_feed", old, bar_time=told[-1].bar_time)
        if made.suspect is not None and made.suspect != self._suspect:
            log.warning("suspect", bar_time=made.suspect.bar_time, candle=made.suspect[1:6])
            self.note("suspect", bar_time=made.suspect.bar_time, candle=list(made.suspect[1:6]), at=now)
        self._suspect = made.suspect
        if made.suspect is not None and all(account.bar_time is None for account in self.standings):
            raise ExchangeError("the newest candle is not believed yet, and an account begins at no other")
        if made.revisions:
            with self.ledger.reading() as connection:
                known = reading.events_of(connection, "revision")
            for before, after in made.revisions:
                detail = plan.revision_detail(before, after)
                if detail not in known:
                    log.warning("revision", **detail)
                    self.note("revision", **detail)

    def _trouble(self, outage: Outage, kind: str, is_so: bool, **detail: Any) -> None:  # noqa: FBT001 - the trouble itself
        now = self.clock.now()
        said = outage.failed(now) if is_so else outage.over(now)
        if said is not None:
            kind = kind if is_so else f"{kind}_over"
            log.warning(kind, **detail, **said)
            self.note(kind, **detail, **said)


def report(entry: Entry) -> None:
    """One line a bar."""
    d = entry.step.decision
    log.info(
        "bar",
        account=entry.trader.terms.name,
        time=utc(d.bar_time),
        close=entry.step.candle.close,
        action=d.action,
        reason=d.reason,
        p_hold=d.p_hold,
        p_buy=d.p_buy,
        p_sell=d.p_sell,
        balance=round(d.balance, 2),
        stocks=round(d.stocks, 8),
        value=round(d.value, 2),
        hold_value=round(d.hold_value, 2),
        excess=round(d.value - d.hold_value, 2),
    )
