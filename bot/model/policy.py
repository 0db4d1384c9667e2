"""What a policy is: probabilities from an observation and a memory of its own; and how an action is drawn from them."""

import hashlib
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from bot.market import Candle
from bot.model.actions import BUY, HOLD, SELL
from bot.model.features import Array, InitialHoldings

DECIMALS: Final = 6
USUAL_WARMUP: Final = 500  # bars: the length of the windows that the networks learned from


class Traded(Protocol):
    """Holdings after an action, and what it moved: `spent` in quote, `sold` in coins; `bot.trading.Trade` is one."""

    @property
    def balance(self) -> Any:
        """Quote currency."""

    @property
    def stocks(self) -> Any:
        """Base currency."""

    @property
    def spent(self) -> Any:
        """Quote currency that a buy took."""

    @property
    def sold(self) -> Any:
        """Base currency that a sell took."""


class TradingRules(InitialHoldings, Protocol):
    """What an account may do; `bot.trading.Rules` is one."""

    @property
    def trade_fraction(self) -> float:
        """The part of the balance that a buy spends, and of the coins that a sell gives."""

    def trade(self, action: Any, balance: Any, stocks: Any, price: Any) -> Traded:
        """The account after `action` at `price`."""


class Observation(NamedTuple):
    """What a policy is shown at the close of a bar: the candle, the one before (None at the start of a warm-up), the
    holdings before the bar's action, and the account's rules. `balance` (quote) and `stocks` (base currency) are
    floats, or arrays (R,) of R accounts on the same candle.
    """

    candle: Candle
    before: Candle | None
    balance: Any
    stocks: Any
    rules: TradingRules


class PolicyOutput(NamedTuple):
    """What a policy makes of an observation: `probabilities` (..., 3) of hold, buy, sell, `value` (...) of the state,
    and the next `memory` (..., n).
    """

    probabilities: Array
    value: Array
    memory: Array


class Policy(Protocol):
    """Decides bar after bar. What it remembers between bars is an array that the caller keeps, so a step is a pure
    function of its arguments: no clock, no file, no randomness of its own. One that wants another history before its
    first decision than USUAL_WARMUP also has the attribute `warmup_bars`.
    """

    def start(self) -> Array:
        """The memory before any candle: float64 (n,), finite, always of the same length n, which may be 0."""

    def step(self, observation: Observation, memory: Array) -> PolicyOutput:
        """One bar. `memory` is (n,) for an account, or (R, n) where the observation is of R accounts."""


def wanted_warmup(policy: object) -> int:
    """How many bars of history the policy wants before its first decision."""
    bars: int = getattr(policy, "warmup_bars", USUAL_WARMUP)
    return bars


@lru_cache(maxsize=256)
def _key(seed: int, account: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{account}".encode()).digest()[:16], "little")


def draw(seed: int, account: str, bar_time: int) -> float:
    """The uniform number in [0, 1) of a bar: the same in whatever process asks.

    Philox 4x64-10 (Salmon et al. 2011) with the first 16 bytes of SHA-256("seed:account") as its key and the bar's
    time as its counter; the upper 53 bits of the first word.
    """
    return (int(np.random.Philox(counter=bar_time, key=_key(seed, account)).random_raw()) >> 11) * 2.0**-53


def choose(p_hold: float, p_buy: float, p_sell: float, chance: float, mode: str) -> int:
    """The action wanted: in `sample` the one that `chance` falls on, in `argmax` the likeliest, first of equals."""
    if mode == "argmax":
        return (HOLD, BUY, SELL)[max(range(3), key=(p_hold, p_buy, p_sell).__getitem__)]
    if chance < p_hold:
        return HOLD
    return BUY if chance < p_hold + p_buy else SELL
