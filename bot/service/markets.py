"""The markets of a daemon: a poller each, made of the traders that the settings and the registry name."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import structlog

from bot.clock import Clock
from bot.errors import HourhandError
from bot.ledger import Ledger
from bot.market import Feed, Venue
from bot.observers import NO_OBSERVERS, Observers
from bot.service.bar_events import record_event
from bot.service.market import Market
from bot.service.pauses import PauseWatcher, pause_pointer
from bot.service.poller import Poller
from bot.service.schedule import Alarm
from bot.service.traders import TraderWatcher
from bot.settings import Settings
from bot.trading import Trader

log = structlog.get_logger()
OpenFeed = Callable[[Settings], Feed]
"""The feed of the market that the settings describe first."""


def feeds_of(clock: Clock) -> OpenFeed:
    """A function that opens feeds; those of one exchange at one address share its pace and its list of markets."""
    venues: dict[tuple[str, str], Venue] = {}

    def open_feed(settings: Settings) -> Feed:
        key = settings.exchange.id, settings.exchange.base_url
        if key not in venues:
            venues[key] = Venue(*key, clock)
        return Feed(settings.exchange, clock, venues[key])

    return open_feed


class Markets:
    """All markets with their pollers, in the order of the settings; what they share: ledger, clock, observers."""

    def __init__(
        self,
        watcher: TraderWatcher,
        clock: Clock,
        ledger: Ledger,
        open_feed: OpenFeed | None = None,
        observers: Observers = NO_OBSERVERS,
    ) -> None:
        """Raises UsageError where an exchange cannot be used, an account was opened with other values, or nobody can
        tell who is paused.
        """
        self.watcher, self.clock, self.ledger, self.observers = watcher, clock, ledger, observers
        self.added: list[Market] = []  # while the daemon ran
        self.alarm: Alarm | None = None
        self.pauses = PauseWatcher(pause_pointer(watcher.settings))
        self._open_feed = open_feed or feeds_of(clock)
        self._markets = [self._open(traders) for traders in _by_market(watcher.traders)]
        self.show_accounts()

    def __iter__(self) -> Iterator[Market]:
        return iter(self._markets)

    @property
    def first(self) -> Poller:
        """The poller of the settings' first market."""
        return self._markets[0].poller

    def note(self, kind: str, **detail: Any) -> None:
        """Record an event of the daemon. A ledger that has no room for it does not stop it."""
        record_event(self.ledger, self.observers, self.clock.now(), kind, detail)

    def tell(self, level: str, kind: str, **detail: Any) -> None:
        """Record an event of the daemon, and log it."""
        getattr(log, level)(kind, **detail)
        self.note(kind, **detail)

    def show_accounts(self) -> None:
        """Show the observers all accounts as the ledger has them."""
        self.observers.on_accounts([account for market in self._markets for account in market.poller.account_states])

    def set_traders(self, traders: Sequence[Trader]) -> list[str]:
        """Give each market its traders, for the next time that it is not being polled; markets that have none are taken
        out, new ones are opened. A sentence for each that cannot be.
        """
        wanted = {group[0].terms.market: group for group in _by_market(traders)}
        known = {market.poller.market: market for market in self._markets}
        rejected: list[str] = []
        for name in known.keys() - wanted.keys():
            self._close(known[name], "market_removed")
        for name, group in wanted.items():
            if name in known:
                known[name].next_traders = group if _differ(known[name].poller.traders, group) else None
                continue
            try:
                market = self._open(group)
            except HourhandError as error:
                rejected.append(f"market {group[0].terms.name}: {error}")
                continue
            self._markets.append(market)
            self.added.append(market)
            market.poller.tell("info", "market_added", series=name)
            self.show_accounts()
            if self.alarm is not None:
                self.alarm.ring_after(market.poller.bar)
        return rejected

    def drop(self, market: Market, reason: str) -> None:
        """Take out a market that was added and cannot be asked for."""
        self._close(market, "market_rejected", error=reason)

    def go_on_with(self, ledger: Ledger) -> None:
        """Use another ledger from the accounts' last bars in it; what was asked for the old one is dropped."""
        self.ledger = ledger
        for market in self._markets:
            market.discard()
            market.poller.ledger = ledger
            market.poller.use(market.poller.traders)
        self.show_accounts()

    def _open(self, traders: Sequence[Trader]) -> Market:
        settings = self.watcher.settings_of(traders[0])
        feed = self._open_feed(settings)
        first = traders[0].terms.name == self.watcher.settings.account.name
        label = None if first else traders[0].terms.name
        poller = Poller(
            settings, self.clock, self.ledger, traders, feed, self.observers, label=label, pauses=self.pauses
        )
        poller.on_accounts_read = self.show_accounts
        return Market(poller, settings.schedule.poll_delay_seconds)

    def _close(self, market: Market, kind: str, **detail: Any) -> None:
        market.discard()
        self._markets.remove(market)
        market.poller.tell("info" if kind == "market_removed" else "warning", kind, **detail)
        self.show_accounts()


def _by_market(traders: Sequence[Trader]) -> list[list[Trader]]:
    """The traders of each market, both in the order given."""
    groups: dict[str, list[Trader]] = {}
    for trader in traders:
        groups.setdefault(trader.terms.market, []).append(trader)
    return list(groups.values())


def _differ(now: Sequence[Trader], then: Sequence[Trader]) -> bool:
    return list(map(_identity, now)) != list(map(_identity, then))


def _identity(trader: Trader) -> tuple[Any, ...]:
    return trader.terms, trader.initial_share, trader.model.model_id, trader.mode
