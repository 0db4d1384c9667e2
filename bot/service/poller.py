"""One poll: ask the exchange, decide every closed candle that has no decision yet, and commit bar by bar."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import structlog

from bot.clock import Clock, newest_closed
from bot.errors import ExchangeError, ModelError
from bot.ledger import Ledger, check_name, commit_bars, reading, resume_account
from bot.market import Candle, Feed, MarketLimits, is_confirmed_by, is_near, reconcile
from bot.observers import NO_OBSERVERS, Observers
from bot.service.bar_events import log_bar, pause_events, record_event, swap_detail
from bot.service.pauses import PauseWatcher, pause_pointer
from bot.service.waiter import Request
from bot.service.watch import FeedWatch
from bot.settings import Settings
from bot.trading import (
    CLOCK,
    MISSED,
    PAUSED,
    POLICY,
    SYNTHETIC,
    AccountState,
    DecidedBar,
    Quote,
    Trader,
    new_account_state,
)

_MAIN: Final = 0  # of a market's accounts
_SPARE_BARS: Final = 24  # asked for beyond the warm-up, as the newest bars may be without a trade

Steps = Generator[Request | None, Any, int]
"""A poll step by step: a request to the exchange, to be sent its answer, or None after a decided bar; at the end, how
many bars were decided."""
Asking = Generator[Request | None, Any, Any]
log = structlog.get_logger()


class _Work(NamedTuple):
    """What a poll has to decide. `account_states` are where the accounts go on, `decided` their newest decided bars;
    `todo` the candles after the oldest of those; `early` warm-up candles to store with a new account's first bar.
    """

    account_states: list[AccountState]
    decided: list[int]
    todo: list[Candle]
    early: list[Candle]


class Poller:
    """The accounts of one market, its exchange and its ledger.

    The accounts see the same candles, and each bar of all of them is one transaction.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        traders: Sequence[Trader],
        feed: Feed,
        observers: Observers = NO_OBSERVERS,
        *,
        label: str | None = None,
        pauses: PauseWatcher | None = None,
    ) -> None:
        """`traders` are on one market, the first is its main one. `label` is the `market` of its events: none for the
        first market of the settings. `pauses` is shared with the other markets, if there are any. Raises UsageError
        where an account was opened with other values, or nobody can tell who is paused.
        """
        self.schedule, self.clock, self.ledger, self.feed = settings.schedule, clock, ledger, feed
        self.observers, self.label = observers, label
        self.pauses = pauses or PauseWatcher(pause_pointer(settings))
        self.market, self.bar = traders[0].terms.market, traders[0].terms.bar
        self.on_accounts_read: Callable[[], object] = lambda: None  # when a poll has read them from the ledger again
        self._watch = FeedWatch(clock, self.bar, self.note, label)
        self.use(traders)

    @property
    def whose(self) -> dict[str, str]:
        """What says in the detail of an event that it is this market's."""
        return {} if self.label is None else {"market": self.label}

    @property
    def name(self) -> str:
        """What people call the market: the name of its main account."""
        return self.account_states[0].trader.terms.name

    def use(self, traders: Sequence[Trader]) -> None:
        """Go on with these traders from their accounts' last bars in the ledger. Call it between two polls."""
        with self.ledger.reading() as connection:
            for trader in traders:
                check_name(connection, trader.terms.name)
            self.account_states = [resume_account(connection, trader, self._warmup_bars(trader)) for trader in traders]
            self._paused = {t.terms.name for t in traders if reading.is_paused(connection, t.terms.name)}
        self.traders = list(traders)  # as they were given: an account with an initial share may not be opened yet
        self._in_sync = True

    def steps(self) -> Steps:
        """Fetch what is not decided yet and decide it; the number of bars. Only the requests that it yields may run in
        another thread. It can be closed after each step: what was committed before stays.

        Raises ExchangeError where the answer cannot be trusted, LedgerError where a bar could not be written (it is
        as if it had not been decided).
        """
        self.ledger.check_file()
        self.check_clock()
        if not self._in_sync:
            self.use(self.traders)
            self.on_accounts_read()
        since = self._fetch_since()
        with self.ledger.reading() as connection:
            end = newest_closed(self.clock.now(), self.bar) + self.bar  # another account may have seen later ones
            stored = reading.read_candles_between(connection, self.market, since, end)
        fetched = yield from self._fetch(since, stored)
        self._watch.check_overlap(self.ledger, stored, fetched)
        reconciled = yield from self._reconcile(stored, fetched)
        self._watch.check_skew(self.feed.skew)
        self._watch.check_age(fetched[-1], has_accounts=self._has_accounts())
        self._watch.check_suspect(reconciled.suspect, has_accounts=self._has_accounts())
        self._watch.check_revisions(self.ledger, reconciled.revisions)
        yield from self._fetch_limits()
        stored_times = {candle.bar_time for candle in stored}
        work = self._work(reconciled.run, stored_times)
        quote = yield from self._quote(work.todo)
        return (yield from self._decide(work, stored_times, reconciled.gaps, quote))

    def is_up_to_date(self, now: float) -> bool:
        """Whether every bar that had closed at `now` is decided."""
        newest = newest_closed(now, self.bar)
        return all(account.bar_time is not None and account.bar_time >= newest for account in self.account_states)

    def check_clock(self) -> None:
        """Report a clock that is before the newest decided bar."""
        self._watch.check_clock(max((a.bar_time for a in self.account_states if a.bar_time is not None), default=None))

    def has_decisions(self) -> bool:
        """Whether the ledger has a decision of this market."""
        with self.ledger.reading() as connection:
            return reading.newest_bar(connection, self.market) is not None

    def note(self, kind: str, **detail: Any) -> None:
        """Record an event of this market. A ledger that has no room for it does not stop the daemon."""
        record_event(self.ledger, self.observers, self.clock.now(), kind, detail | self.whose)

    def tell(self, level: str, kind: str, **detail: Any) -> None:
        """Record an event of this market, and log it."""
        getattr(log, level)(kind, **detail, **self.whose)
        self.note(kind, **detail)

    # ---- fetching

    def _has_accounts(self) -> bool:
        return any(account.bar_time is not None for account in self.account_states)

    def _fetch_since(self) -> int:
        decided = [account.bar_time for account in self.account_states if account.bar_time is not None]
        newest = newest_closed(self.clock.now(), self.bar)
        first = min([*decided, newest]) - (reconcile.OVERLAP - 1) * self.bar
        if len(decided) < len(self.account_states):
            bars = max(map(self._warmup_bars, self.traders)) + _SPARE_BARS
            first = min(first, newest - bars * self.bar)
        return max(0, first)

    def _fetch(self, since: int, stored: Sequence[Candle]) -> Asking:
        """The exchange's closed candles; asked for twice where the first answer has a hole or a suspect price."""
        fetched: list[Candle] = yield lambda: self.feed.closed_candles(since)
        if reconcile.needs_second_look(stored, fetched, self.bar):
            again: list[Candle] = yield lambda: self.feed.closed_candles(since)
            if again[: len(fetched)] != fetched:
                raise ExchangeError("the exchange gave two different answers to one request")
        return fetched

    def _reconcile(self, stored: Sequence[Candle], fetched: Sequence[Candle]) -> Asking:
        """What is decided next; the ticker is asked for where the newest candle has to be confirmed by it."""
        found = reconcile.reconcile(stored, fetched, self.bar, lambda _before, _candle: False)
        if found.suspect is None:
            return found
        try:
            price = (yield self.feed.ticker).last
        except ExchangeError:
            return found  # what came before it can be decided all the same
        return reconcile.reconcile(
            stored, fetched, self.bar, lambda before, candle: is_confirmed_by(before, candle, price)
        )

    # ---- deciding

    def _warmup_bars(self, trader: Trader) -> int:
        return trader.warmup_bars(self.schedule.warmup_bars)

    def _work(self, run: Sequence[Candle], stored: set[int]) -> _Work:
        """What is due. A new account begins at the newest candle, warmed up on those before it."""
        newest = run[-1].bar_time
        beginning = [account.trader for account in self.account_states if account.bar_time is None]
        wanted = max(map(self._warmup_bars, beginning), default=0)
        warmup = _before_last(run, wanted)
        states = [
            new_account_state(account.trader, _before_last(run, self._warmup_bars(account.trader)), run[-1])
            if account.bar_time is None
            else account
            for account in self.account_states
        ]
        begins = bool(beginning)
        if begins and len(warmup) < wanted:
            log.warning("short_warmup", bars=len(warmup), wanted=wanted)
        decided = [newest - self.bar if account.bar_time is None else account.bar_time for account in states]
        oldest = min(decided)
        early = [c for c in warmup if begins and c.bar_time not in stored and c.bar_time <= oldest]
        return _Work(states, decided, [candle for candle in run if candle.bar_time > oldest], early)

    def _fetch_limits(self) -> Asking:
        """Have the exchange's limits for new accounts that are to keep to them."""
        if any(account.trader.lacks_limits for account in self.account_states):
            limits: MarketLimits = yield self.feed.limits
            self.account_states = [
                replace(account, trader=account.trader.with_limits(limits)) if account.trader.lacks_limits else account
                for account in self.account_states
            ]

    def _decide(
        self, work: _Work, stored: set[int], gaps: Sequence[tuple[int, int]], quote: Quote | None
    ) -> Generator[None, Any, int]:
        """Decide and commit the candles of `work`, one transaction and one step each; how many.

        Raises ModelError where a policy that is somebody's code fails: the main account's at once, any other's after
        what the accounts beside it decided is committed.
        """
        states, decided = list(work.account_states), list(work.decided)
        failed: dict[int, ModelError] = {}
        for candle in work.todo:
            reason = self._reason(candle)
            bar_quote = quote if reason == POLICY and self._is_young(candle) else None
            paused = self.pauses.accounts() if reason != SYNTHETIC else frozenset()
            bars: dict[int, DecidedBar] = {}
            for index, bar_time in enumerate(decided):
                if bar_time >= candle.bar_time or index in failed:
                    continue
                why = (PAUSED, None) if states[index].trader.terms.name in paused else (reason, bar_quote)
                try:
                    bars[index] = _decided(states[index], candle, *why)
                except ModelError as error:
                    if index == _MAIN:
                        raise
                    failed[index] = error
            if not bars:
                continue
            new = work.early if candle is work.todo[-1] else []
            new = [*new, candle] if candle.bar_time not in stored else new
            self._commit([states[index] for index in bars], list(bars.values()), new, gaps)
            for index, bar in bars.items():
                states[index], decided[index] = states[index].after(bar), candle.bar_time
                log_bar(bar)
            self.account_states = list(states)
            yield None
        if failed:
            index, failure = next(iter(failed.items()))
            raise ModelError(f"account {states[index].trader.terms.name}: {failure}") from failure
        return len(work.todo)

    def _commit(
        self,
        account_states: Sequence[AccountState],
        bars: Sequence[DecidedBar],
        candles: Sequence[Candle],
        gaps: Sequence[tuple[int, int]],
    ) -> None:
        written = {candle.bar_time for candle in candles}
        events: list[tuple[str, Mapping[str, Any]]] = [
            ("gap", {"bar_time": first, "bars": count, **self.whose}) for first, count in gaps if first in written
        ]
        events += [("model_swapped", detail) for detail in map(swap_detail, account_states, bars) if detail is not None]
        pauses, paused = pause_events(bars, self._paused)
        events += pauses
        self._in_sync = False  # unknown until the commit has come back
        began = time.perf_counter()
        with self.ledger.writing() as connection:
            commit_bars(connection, candles, bars, [(self.clock.now(), *event) for event in events])
        self._in_sync, self._paused = True, paused
        self.observers.on_bar(bars, time.perf_counter() - began)
        for kind, detail in events:
            log.warning(kind, **detail)
            self.observers.on_event(kind, **detail)

    def _reason(self, candle: Candle) -> str:
        if candle.synthetic:
            return SYNTHETIC
        if abs(self.feed.skew or 0.0) > self.schedule.max_decision_delay_seconds:
            return CLOCK
        return POLICY if self._is_young(candle) or self.schedule.catch_up == "trade" else MISSED

    def _quote(self, todo: Sequence[Candle]) -> Asking:
        """The ticker's best prices, where an account is filled at the quote and the newest candle is young enough."""
        wanted = any(account.trader.terms.fill == "quote" for account in self.account_states)
        if not wanted or not todo or not self._is_young(todo[-1]):
            return None
        ticker, close = (yield self.feed.ticker), todo[-1].close
        if not (is_near(ticker.bid, close) and is_near(ticker.ask, close)):
            raise ExchangeError(f"the ticker, {ticker.bid} to {ticker.ask}, is far from the close, {close}")
        return Quote(ticker.bid, ticker.ask)

    def _is_young(self, candle: Candle) -> bool:
        return self.clock.now() - candle.bar_time - self.bar <= self.schedule.max_decision_delay_seconds


def _decided(account: AccountState, candle: Candle, reason: str, quote: Quote | None) -> DecidedBar:
    return account.decide(candle, reason, quote if account.trader.terms.fill == "quote" else None)


def _before_last(run: Sequence[Candle], bars: int) -> Sequence[Candle]:
    """The `bars` candles before the newest one, or as many as there are."""
    return run[max(0, len(run) - 1 - bars) : -1]
