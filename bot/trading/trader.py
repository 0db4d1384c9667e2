"""One bar as a pure function: state and candle in; decision, fill and next state out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final, NamedTuple

from bot.errors import ExchangeError, ModelError
from bot.market import Candle, MarketLimits
from bot.model import ACTIONS, DECIMALS, HOLD, Array, Model, Observation, PolicyOutput, choose, draw, wanted_warmup
from bot.trading.rules import AccountTerms, Quote, account_value, execute, hold_value_at

POLICY: Final = "policy"
MINIMUM: Final = "minimum"
SYNTHETIC: Final = "synthetic"
MISSED: Final = "missed"
CLOCK: Final = "clock"
PAUSED: Final = "paused"


class State(NamedTuple):
    """What a trader carries from bar to bar: holdings, the policy's memory (n,) and the candle before (None at the
    start of a warm-up)."""

    balance: float
    stocks: float
    memory: Array
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


class BarResult(NamedTuple):
    """One bar decided."""

    candle: Candle
    decision: Decision
    fill: Fill | None
    state: State


@dataclass(frozen=True, slots=True)
class Trader:
    """What an account is, the model that decides for it, and how (`sample` or `argmax`).

    With `initial_share` the account is yet to be opened: that share of `terms.rules.initial_balance` will be in coins.
    """

    terms: AccountTerms
    model: Model
    mode: str = "sample"
    initial_share: float | None = None

    def opened_at(self, close: float) -> "Trader":
        """The trader with initial amounts fixed by the close of the account's first bar."""
        if self.initial_share is None:
            return self
        rules = self.terms.rules.with_share(self.initial_share, close)
        return replace(self, terms=self.terms._replace(rules=rules), initial_share=None)

    def warmup_bars(self, configured: int | None) -> int:
        """How many bars of history it is warmed up on: what is configured, else what its policy wants."""
        return wanted_warmup(self.model.policy) if configured is None else configured

    def with_limits(self, limits: MarketLimits) -> "Trader":
        """The trader of a new account on whose market these limits are in force."""
        return replace(self, terms=self.terms._replace(rules=self.terms.rules._replace(limits=limits)))

    @property
    def lacks_limits(self) -> bool:
        """Whether the account is to keep to limits of the exchange that are not known yet."""
        return self.terms.limits != "own" and self.terms.rules.limits is None

    def start(self) -> State:
        """The state before any candle: the initial account and a policy that remembers nothing."""
        rules = self.terms.rules
        return State(rules.initial_balance, rules.initial_stocks, self.model.policy.start(), None)

    def observe(self, state: State, candle: Candle) -> PolicyOutput:
        """Show the candle and the holdings before it to the policy."""
        seen = Observation(candle, state.before, state.balance, state.stocks, self.terms.rules)
        return self.model.policy.step(seen, state.memory)

    def warm_up(self, candles: Iterable[Candle], holdings: Sequence[tuple[float, float]] = ()) -> State:
        """The state before any candle moved over `candles`, nothing decided. `holdings` are balance and stocks before
        each candle; the initial ones where it has none. The state returned holds the initial account.
        """
        initial = state = self.start()
        held = dict(enumerate(holdings))
        for i, candle in enumerate(candles):
            balance, stocks = held.get(i, (initial.balance, initial.stocks))
            state = state._replace(balance=balance, stocks=stocks)
            state = state._replace(memory=self.observe(state, candle).memory, before=candle)
        return state._replace(balance=initial.balance, stocks=initial.stocks)

    def step(self, state: State, candle: Candle, reason: str = POLICY, quote: Quote | None = None) -> BarResult:
        """Decide one closed candle. With any reason but POLICY it is observed and not traded on; `quote` is what a
        trade is filled at, the candle's close where it is None.

        Raises ExchangeError where the policy's arithmetic overflows: weights are bounded, so it is the candle's fault.
        """
        output = self.observe(state, candle)
        p_hold, p_buy, p_sell = (round(p, DECIMALS) for p in output.probabilities.tolist())
        if not isfinite(p_hold + p_buy + p_sell + float(output.value)):
            raise ExchangeError(f"model {self.model.model_id} gives no finite output for candle {candle.bar_time}")
        chance = draw(self.terms.seed, self.terms.name, candle.bar_time)
        action = choose(p_hold, p_buy, p_sell, chance, self.mode) if reason == POLICY else HOLD
        terms = self.terms
        done = execute(action, state.balance, state.stocks, candle.close, terms.rules, terms.slippage_bps, quote)
        fill = None
        if done.action != HOLD:
            fill = Fill(candle.bar_time, ACTIONS[done.action], done.price, done.amount, done.cost, done.commission)
        decision = Decision(
            candle.bar_time,
            ACTIONS[done.action],
            MINIMUM if done.refused else reason,
            p_hold,
            p_buy,
            p_sell,
            round(float(output.value), DECIMALS) + 0.0,  # no negative zero, which SQLite does not keep
            chance,
            self.model.model_id,
            self.mode,
            done.price,
            done.balance,
            done.stocks,
            account_value(done.balance, done.stocks, candle.close),
            hold_value_at(candle.close, terms.rules),
            quote.bid if quote else None,
            quote.ask if quote else None,
        )
        return BarResult(candle, decision, fill, State(done.balance, done.stocks, output.memory, candle))


def dry_run(model: Model, candles: Iterable[Candle]) -> None:
    """Let the model decide the candles on an account of nobody's. Raises ModelError where it cannot."""
    trader = Trader(AccountTerms("dry-run", "no:market:1h"), model)
    state = trader.start()
    for candle in candles:
        try:
            state = trader.step(state, candle).state
        except ExchangeError as error:
            raise ModelError(f"model {model.model_id} cannot decide candles of the ledger: {error}") from error
