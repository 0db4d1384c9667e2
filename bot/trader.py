"""One bar as a pure function: state and candle in; decision, fill and next state out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final, NamedTuple

import numpy as np

from bot import account
from bot.account import ACTIONS, BUY, HOLD, SELL, Rules, Terms
from bot.candles import Candle
from bot.checkpoint import Model
from bot.errors import ModelError
from bot.features import Array
from bot.policy import DECIMALS, Outlook, choose, draw

POLICY: Final = "policy"
MINIMUM: Final = "minimum"
SYNTHETIC: Final = "synthetic"
MISSED: Final = "missed"
CLOCK: Final = "clock"


class Quote(NamedTuple):
    """The ticker's best prices when the decision was taken."""

    bid: float
    ask: float


class State(NamedTuple):
    """What a trader carries from bar to bar: holdings, hidden state (2, lstm) and the candle before (None at the
    start of a warm-up, where the first observation is then zeros)."""

    balance: float
    stocks: float
    hidden: Array
    before: Candle | None


class Decision(NamedTuple):
    """What was done at a bar and why: the public columns of a decision, holdings after it, and the quote it used."""

    bar_time: int
    action: str
    reason: str
    p_hold: float
    p_buy: float
    p_sell: float
    state_value: float
    draw: float
    model_id: str
    mode: str
    price: float
    balance: float
    stocks: float
    value: float
    hold_value: float
    bid: float | None
    ask: float | None


class Fill(NamedTuple):
    """What a trade moved: `amount` in coins, `cost` and `commission` in quote currency, `price` in quote per coin."""

    bar_time: int
    side: str
    price: float
    amount: float
    cost: float
    commission: float


class Step(NamedTuple):
    """One bar decided."""

    candle: Candle
    decision: Decision
    fill: Fill | None
    state: State


@dataclass(frozen=True, slots=True)
class Trader:
    """What an account is, the model that decides for it, and how (`sample` or `argmax`)."""

    terms: Terms
    model: Model
    mode: str = "sample"

    def start(self) -> State:
        """The state before any candle: the initial account and a zero hidden state."""
        rules = self.terms.rules
        return State(rules.initial_balance, rules.initial_stocks, self.model.policy.start(), None)

    def look(self, state: State, candle: Candle) -> Outlook:
        """Feed the candle and the holdings before it to the network."""
        bar = np.array(candle[1:6])
        features = self.model.features
        market = features.market(np.array(state.before[1:6]) if state.before else bar, bar)
        held = features.account(state.balance, state.stocks, candle.close, self.terms.rules)
        return self.model.policy.step(market, np.array(held), state.hidden)

    def warm_up(self, candles: Iterable[Candle], holdings: Sequence[tuple[float, float]] = ()) -> State:
        """A zero state moved over `candles`, nothing decided. `holdings` are balance and stocks before each candle;
        the initial ones where it has none. The state returned holds the initial account.
        """
        initial = state = self.start()
        held = dict(enumerate(holdings))
        for i, candle in enumerate(candles):
            balance, stocks = held.get(i, (initial.balance, initial.stocks))
            state = state._replace(balance=balance, stocks=stocks)
            state = state._replace(hidden=self.look(state, candle).hidden, before=candle)
        return state._replace(balance=initial.balance, stocks=initial.stocks)

    def step(self, state: State, candle: Candle, reason: str = POLICY, quote: Quote | None = None) -> Step:
        """Decide one closed candle. With any reason but POLICY it is observed and not traded on; `quote` is what a
        trade is filled at, the candle's close where it is None.

        Raises ModelError where the network's arithmetic overflows.
        """
        outlook = self.look(state, candle)
        p_hold, p_buy, p_sell = (round(p, DECIMALS) for p in outlook.probabilities.tolist())
        if not isfinite(p_hold + p_buy + p_sell + float(outlook.value)):
            raise ModelError(f"model {self.model.model_id} has no finite answer to the candle of {candle.bar_time}")
        chance = draw(self.terms.seed, self.terms.name, candle.bar_time)
        action = choose(p_hold, p_buy, p_sell, chance, self.mode) if reason == POLICY else HOLD
        price = self._price(action, candle, quote)
        rules = self.terms.rules
        done = account.trade(action, state.balance, state.stocks, price, rules)
        fill = _fill(action, candle.bar_time, price, done, rules)
        if fill is None:
            price = candle.close
            if action != HOLD:
                action, reason = HOLD, MINIMUM
        decision = Decision(
            candle.bar_time,
            ACTIONS[action],
            reason,
            p_hold,
            p_buy,
            p_sell,
            round(float(outlook.value), DECIMALS) + 0.0,  # no negative zero, which SQLite does not keep
            chance,
            self.model.model_id,
            self.mode,
            price,
            done.balance,
            done.stocks,
            account.worth(done.balance, done.stocks, candle.close),
            account.hold_worth(candle.close, rules),
            quote.bid if quote else None,
            quote.ask if quote else None,
        )
        return Step(candle, decision, fill, State(done.balance, done.stocks, outlook.hidden, candle))

    def _price(self, action: int, candle: Candle, quote: Quote | None) -> float:
        slip = self.terms.slippage_bps / 10_000
        if action == BUY:
            return (quote.ask if quote else candle.close) * (1 + slip)
        if action == SELL:
            return (quote.bid if quote else candle.close) * (1 - slip)
        return candle.close


def _fill(action: int, bar_time: int, price: float, done: account.Trade, rules: Rules) -> Fill | None:
    if done.spent:
        amount = (1 - rules.commission) * done.spent / price
        return Fill(bar_time, ACTIONS[action], price, amount, done.spent, rules.commission * done.spent)
    if done.sold:
        cost = done.sold * price
        return Fill(bar_time, ACTIONS[action], price, done.sold, cost, rules.commission * cost)
    return None
