"""How far each market has come, as an observer hears of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.observers.health import Health, NewestBar, check_markets
from bot.settings import Settings
from bot.trading import AccountState, DecidedBar


def main_accounts(account_states: Sequence[AccountState]) -> list[AccountState]:
    """The first account of each market, which is its main one."""
    mains: dict[str, AccountState] = {}
    for account in account_states:
        mains.setdefault(account.trader.terms.market, account)
    return list(mains.values())


class Newest:
    """The newest decided bar of each market as an observer hears of it, by the name of its main account."""

    def __init__(self, settings: Settings, since: float | None = None) -> None:
        """From `since` on (Unix seconds), a market that has not decided a bar yet has the time of one for its first."""
        self.settings, self.since = settings, since
        self.of: dict[str, NewestBar] = {}
        for market in settings.each_market():
            self.of[market.account.name] = self._at(market.bar, None)

    def on_accounts(self, account_states: Sequence[AccountState]) -> None:
        """All accounts as the ledger has them; the first of each market is its main one."""
        # In one step, as whoever asks over HTTP does so from another thread.
        self.of = {
            account.trader.terms.name: self._at(account.trader.terms.bar, account.bar_time)
            for account in main_accounts(account_states)
        }

    def on_bar(self, entries: Sequence[DecidedBar]) -> None:
        """A bar of a market is decided."""
        for entry in entries:
            name = entry.trader.terms.name
            if name in self.of:
                self.of[name] = self._at(entry.trader.terms.bar, entry.step.decision.bar_time)

    def check(self, now: float) -> Health:
        """How all markets are now."""
        return check_markets(self.of, now, self.settings)

    def market_of(self, detail: Mapping[str, Any]) -> str:
        """The name of the market that an event is about."""
        return str(detail.get("market", self.settings.account.name))

    def _at(self, bar: int, bar_time: int | None) -> NewestBar:
        return NewestBar(bar, bar_time if self.since is None else max(int(self.since) - bar, bar_time or 0))
