"""Where each account stands: taken up from the ledger, moved on bar by bar."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from bot.account import Rules, Terms
from bot.candles import Candle
from bot.errors import LedgerError, UsageError
from bot.ledger import accounts, reading
from bot.ledger.writing import Entry
from bot.trader import POLICY, Quote, State, Trader

_SETTING: Final = {"seed": "policy.seed", "market": "exchange.id, exchange.symbol or exchange.timeframe"}


@dataclass(frozen=True, slots=True)
class Standing:
    """A trader and what it carries. `bar_time` is its newest decided bar, None for an account that has none.
    `warmup_from` is the first candle of a warm-up that the state comes straight from, None where it was carried on;
    `model_before` the model that decided the newest bar.
    """

    trader: Trader
    state: State
    bar_time: int | None = None
    warmup_from: int | None = None
    model_before: str | None = None

    def decide(self, candle: Candle, reason: str = POLICY, quote: Quote | None = None) -> Entry:
        """The next bar, not yet written."""
        return Entry(self.trader, self.trader.step(self.state, candle, reason, quote), self.warmup_from)

    def after(self, entry: Entry) -> "Standing":
        """Where the account stands once the entry is written."""
        bar_time = entry.step.decision.bar_time
        return Standing(self.trader, entry.step.state, bar_time, None, entry.step.decision.model_id)


def fresh(trader: Trader, warmup: Sequence[Candle], first_bar: int) -> Standing:
    """An account without a decision yet, warmed up on the candles before `first_bar`."""
    return Standing(trader, trader.warm_up(warmup), warmup_from=warmup[0].bar_time if warmup else first_bar)


def resume(connection: Connection, trader: Trader, warmup_bars: int) -> Standing:
    """Where the ledger says that the account stands.

    The hidden state is the one that was stored; where the model is another one, it is warmed up on the ledger's own
    last `warmup_bars` candles with the holdings of those bars.

    Raises UsageError, naming the key, where the account was opened on other terms.
    """
    opened = accounts.terms(connection, trader.terms.name)
    if opened is not None:
        _same(opened, trader.terms)
    head = reading.head(connection, trader.terms.name)
    if head is None:
        return Standing(trader, trader.start())
    before = reading.candles_between(connection, trader.terms.market, head.bar_time, head.bar_time + 1)
    if not before:
        raise LedgerError("the ledger has a decision without its candle: see `hourhand verify`, and restore a backup")
    start = trader.start()
    if head.model_id == trader.model.model_id and head.hidden is not None and head.hidden.shape == start.hidden.shape:
        state = State(head.balance, head.stocks, head.hidden, before[0])
        return Standing(trader, state, head.bar_time, None, head.model_id)
    bar = trader.terms.bar
    end = head.bar_time + bar
    state, first = warmed_up(connection, trader, end - warmup_bars * bar, end)
    return Standing(trader, state, head.bar_time, first, head.model_id)


def warmed_up(connection: Connection, trader: Trader, first: int, end: int) -> tuple[State, int]:
    """The state at `end` from the ledger's candles in [first, end) and the account's holdings at those bars, and the
    bar that the warm-up began with (`end` where there was none).
    """
    terms = trader.terms
    candles = reading.candles_between(connection, terms.market, first, end)
    bar = terms.bar
    start = len(candles)
    while start and (start == len(candles) or candles[start - 1].bar_time + bar == candles[start].bar_time):
        start -= 1
    candles = candles[start:]
    held = (terms.rules.initial_balance, terms.rules.initial_stocks)
    after = {
        stored.decision.bar_time: (stored.decision.balance, stored.decision.stocks)
        for stored in reading.decisions_of(connection, terms.name, first - bar, end)
    }
    holdings = [held := after.get(candle.bar_time - bar, held) for candle in candles]
    state = trader.warm_up(candles, holdings)
    balance, stocks = after.get(end - bar, held)
    return state._replace(balance=balance, stocks=stocks), candles[0].bar_time if candles else end


def _same(opened: Terms, wanted: Terms) -> None:
    for field in Terms._fields:
        before, now = getattr(opened, field), getattr(wanted, field)
        if before == now:
            continue
        if field == "rules":
            key = next(name for name in Rules._fields if getattr(before, name) != getattr(now, name))
            before, now, key = getattr(before, key), getattr(now, key), f"account.{key}"
        else:
            key = _SETTING.get(field, f"account.{field}")
        raise UsageError(
            f"settings: {key} is {now}, but account {opened.name!r} was opened with {before}: set it back, "
            "or open another account beside it with another account.name"
        )
