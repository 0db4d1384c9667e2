"""One poll: ask the exchange, decide every closed candle that has no decision yet, and commit bar by bar."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import structlog

from bot.clock import Clock, newest_closed, utc
from bot.errors import ExchangeError, LedgerInUseError, LedgerUnavailableError
from bot.ledger import Ledger, add_event, commit_bars, reading, resume_account
from bot.market import Candle, Feed, is_confirmed_by, is_near
from bot.market.reconcile import OVERLAP, needs_second_look, reconcile
from bot.observers import NO_OBSERVERS, Observers
from bot.service.waiter import Stopped, Waiter
from bot.service.watch import FeedWatch
from bot.settings import Settings
from bot.trading import CLOCK, MISSED, POLICY, SYNTHETIC, AccountState, DecidedBar, Quote, Trader, new_account_state

_SPARE_BARS: Final = 24  # asked for beyond the warm-up, as the newest bars may be without a trade

T = TypeVar("T")
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
        observers: Observers = NO_OBSERVERS,
    ) -> None:
        """`traders` are on one market, the first is the main one. Raises UsageError where an account was opened with
        other values.
        """
        self.schedule, self.clock, self.ledger, self.feed, self.waiter = settings.schedule, clock, ledger, feed, waiter
        self.observers = observers
        self.market, self.bar = traders[0].terms.market, traders[0].terms.bar
        self._watch = FeedWatch(clock, self.bar, self.note)
        self.use(traders)

    def use(self, traders: Sequence[Trader]) -> None:
        """Go on with these traders from their accounts' last bars in the ledger. Call it between two bars."""
        with self.ledger.reading() as connection:
            self.account_states = [resume_account(connection, trader, self.schedule.warmup_bars) for trader in traders]
        self._in_sync = True
        self.observers.on_accounts(self.account_states)

    def poll(self) -> int:
        """Fetch what is not decided yet and decide it; the number of bars.

        Raises ExchangeError where the answer cannot be trusted, LedgerError where a bar could not be written (it is
        as if it had not been decided), Stopped between two bars. What was committed before stays.
        """
        self.ledger.check_file()
        if not self._in_sync:
            self.use([account.trader for account in self.account_states])
        since = self._fetch_since()
        with self.ledger.reading() as connection:
            end = newest_closed(self.clock.now(), self.bar) + self.bar  # another account may have seen later ones
            stored = reading.read_candles_between(connection, self.market, since, end)
        fetched = self._fetch(since, stored)
        self._watch.check_overlap(self.ledger, stored, fetched)
        reconciled = reconcile(stored, fetched, self.bar, self._is_confirmed)
        self._watch.check_skew(self.feed.skew)
        self._watch.check_age(fetched[-1], has_accounts=self._has_accounts())
        self._watch.check_suspect(reconciled.suspect, has_accounts=self._has_accounts())
        self._watch.check_revisions(self.ledger, reconciled.revisions)
        stored_times = {candle.bar_time for candle in stored}
        return self._decide(self._work(reconciled.run, stored_times), stored_times, reconciled.gaps)

    def is_up_to_date(self, now: float) -> bool:
        """Whether every bar that had closed at `now` is decided."""
        newest = newest_closed(now, self.bar)
        return all(account.bar_time is not None and account.bar_time >= newest for account in self.account_states)

    def check_ledger(self) -> None:
        """Raises LedgerError where the ledger does not answer."""
        with self.ledger.reading() as connection:
            reading.newest_link(connection, self.account_states[0].trader.terms.name)

    def has_decisions(self) -> bool:
        """Whether the ledger has a decision of this market."""
        with self.ledger.reading() as connection:
            return reading.newest_bar(connection, self.market) is not None

    def note(self, kind: str, **detail: Any) -> None:
        """Record an event. A ledger that has no room for it does not stop the daemon."""
        self.observers.on_event(kind, **detail)
        try:
            with self.ledger.writing() as connection:
                add_event(connection, self.clock.now(), kind, detail)
        except (LedgerUnavailableError, LedgerInUseError) as error:
            log.warning("event_lost", kind=kind, error=str(error))

    # ---- fetching

    def _has_accounts(self) -> bool:
        return any(account.bar_time is not None for account in self.account_states)

    def _fetch_since(self) -> int:
        decided = [account.bar_time for account in self.account_states if account.bar_time is not None]
        newest = newest_closed(self.clock.now(), self.bar)
        first = min([*decided, newest]) - (OVERLAP - 1) * self.bar
        if len(decided) < len(self.account_states):
            bars = self.schedule.warmup_bars + _SPARE_BARS
            first = min(first, newest - bars * self.bar)
        return max(0, first)

    def _fetch(self, since: int, stored: Sequence[Candle]) -> list[Candle]:
        """The exchange's closed candles; asked for twice where the first answer has a hole or a suspect price."""
        fetched = self._ask(lambda: self.feed.closed_candles(since))
        if needs_second_look(stored, fetched, self.bar):
            again = self._ask(lambda: self.feed.closed_candles(since))
            if again[: len(fetched)] != fetched:
                raise ExchangeError("the exchange gave two different answers to one request")
        return fetched

    def _is_confirmed(self, before: Candle, candle: Candle) -> bool:
        try:
            return is_confirmed_by(before, candle, self._ask(self.feed.ticker).last)
        except ExchangeError:
            return False  # what came before it can be decided all the same

    def _ask(self, request: Callable[[], T]) -> T:
        return self.waiter.call(request, self.feed.cut)

    # ---- deciding

    def _work(self, run: Sequence[Candle], stored: set[int]) -> _Work:
        """What is due. A new account begins at the newest candle, warmed up on those before it."""
        newest = run[-1].bar_time
        warmup = run[max(0, len(run) - 1 - self.schedule.warmup_bars) : -1]
        states = [
            new_account_state(account.trader, warmup, newest) if account.bar_time is None else account
            for account in self.account_states
        ]
        begins = any(account.bar_time is None for account in states)
        if begins and len(warmup) < self.schedule.warmup_bars:
            log.warning("short_warmup", bars=len(warmup), wanted=self.schedule.warmup_bars)
        decided = [newest - self.bar if account.bar_time is None else account.bar_time for account in states]
        oldest = min(decided)
        early = [c for c in warmup if begins and c.bar_time not in stored and c.bar_time <= oldest]
        return _Work(states, decided, [candle for candle in run if candle.bar_time > oldest], early)

    def _decide(self, work: _Work, stored: set[int], gaps: Sequence[tuple[int, int]]) -> int:
        """Decide and commit the candles of `work`, one transaction each; how many."""
        states, decided = list(work.account_states), list(work.decided)
        quote = self._quote(work.todo)
        for candle in work.todo:
            if self.waiter.stopping:
                raise Stopped
            self.waiter.heartbeat()
            reason = self._reason(candle)
            bar_quote = quote if reason == POLICY and self._is_young(candle) else None
            due = [index for index, bar_time in enumerate(decided) if bar_time < candle.bar_time]
            bars = {index: states[index].decide(candle, reason, bar_quote) for index in due}
            new = work.early if candle is work.todo[-1] else []
            new = [*new, candle] if candle.bar_time not in stored else new
            self._commit([states[index] for index in due], list(bars.values()), new, gaps)
            for index, bar in bars.items():
                states[index], decided[index] = states[index].after(bar), candle.bar_time
                log_bar(bar)
            self.account_states = list(states)
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
            ("gap", {"bar_time": first, "bars": count}) for first, count in gaps if first in written
        ]
        events += [
            ("model_swapped", detail) for detail in map(_swap_detail, account_states, bars) if detail is not None
        ]
        self._in_sync = False  # unknown until the commit has come back
        began = time.perf_counter()
        with self.ledger.writing() as connection:
            commit_bars(connection, candles, bars, [(self.clock.now(), *event) for event in events])
        self._in_sync = True
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

    def _quote(self, todo: Sequence[Candle]) -> Quote | None:
        """The ticker's best prices, where fills are at the quote and the newest candle is young enough."""
        if self.account_states[0].trader.terms.fill == "close" or not todo or not self._is_young(todo[-1]):
            return None
        ticker, close = self._ask(self.feed.ticker), todo[-1].close
        if not (is_near(ticker.bid, close) and is_near(ticker.ask, close)):
            raise ExchangeError(f"the ticker, {ticker.bid} to {ticker.ask}, is far from the close, {close}")
        return Quote(ticker.bid, ticker.ask)

    def _is_young(self, candle: Candle) -> bool:
        return self.clock.now() - candle.bar_time - self.bar <= self.schedule.max_decision_delay_seconds


def _swap_detail(account: AccountState, bar: DecidedBar) -> dict[str, Any] | None:
    """The detail of a `model_swapped` event, None where the model is the one before."""
    before, now = account.model_before, bar.step.decision.model_id
    if before in (None, now):
        return None
    return {
        "account": account.trader.terms.name,
        "bar_time": bar.step.decision.bar_time,
        "before": before,
        "now": now,
    }


def log_bar(bar: DecidedBar) -> None:
    """One line a bar, what matters first; a trade says what was filled."""
    d, fill = bar.step.decision, bar.step.fill
    filled = {"filled": f"{fill.amount:.8f} at {fill.price:,.2f}"} if fill is not None else {}
    log.info(
        "bar",
        time=utc(d.bar_time),
        action=d.action,
        **filled,
        reason=d.reason,
        close=bar.step.candle.close,
        value=round(d.value, 2),
        excess=round(d.value - d.hold_value, 2),
        account=bar.trader.terms.name,
        p_hold=d.p_hold,
        p_buy=d.p_buy,
        p_sell=d.p_sell,
        balance=round(d.balance, 2),
        stocks=round(d.stocks, 8),
        hold_value=round(d.hold_value, 2),
    )
