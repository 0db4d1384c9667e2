"""An account between two bars, and a bar of it that is decided and not yet written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bot.market import Candle
from bot.trading.rules import Quote
from bot.trading.trader import POLICY, BarResult, State, Trader


class DecidedBar(NamedTuple):
    """A decided bar of one account. `warmup_from` is the bar that the hidden state was warmed up from right before it
    (the first decision of an account and of each new model), None where it was carried on.
    """

    trader: Trader
    step: BarResult
    warmup_from: int | None = None


@dataclass(frozen=True, slots=True)
class AccountState:
    """A trader and what it carries. `bar_time` is its newest decided bar, None for an account that has none.
    `warmup_from` is the first candle of a warm-up that the state comes straight from, None where it was carried on;
    `model_before` the model that decided the newest bar.
    """

    trader: Trader
    state: State
    bar_time: int | None = None
    warmup_from: int | None = None
    model_before: str | None = None

    def decide(self, candle: Candle, reason: str = POLICY, quote: Quote | None = None) -> DecidedBar:
        """The next bar, not yet written."""
        return DecidedBar(self.trader, self.trader.step(self.state, candle, reason, quote), self.warmup_from)

    def after(self, entry: DecidedBar) -> "AccountState":
        """Where the account stands once the entry is written."""
        bar_time = entry.step.decision.bar_time
        return AccountState(self.trader, entry.step.state, bar_time, None, entry.step.decision.model_id)


def new_account_state(trader: Trader, warmup: Sequence[Candle], first: Candle) -> AccountState:
    """An account without a decision yet, whose first bar is to be `first`, warmed up on the candles before it."""
    trader = trader.opened_at(first.close)
    return AccountState(trader, trader.warm_up(warmup), warmup_from=(warmup[0] if warmup else first).bar_time)
