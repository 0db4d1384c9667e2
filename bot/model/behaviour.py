"""What a policy does on fixed candles, as a hash: for a policy that is code and has no weights to tell it by."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from bot.errors import ModelError
from bot.market import Candle
from bot.model.actions import BUY, SELL
from bot.model.policy import DECIMALS, Observation, Policy, PolicyOutput

_HOUR: Final = 3600
_START: Final = 1_577_836_800
_LEG: Final = 120  # bars of rising, then of falling prices
_SWINGS: Final = (0.02, 0.08, 0.3)  # of the closes, in turns of 40 bars: calm, lively, wild
_HOLDINGS: Final = ((10_000.0, 1.0), (10_000.0, 0.0), (0.0, 2.0), (0.5, 0.0001), (4_000.0, 3.0))
_BARS: Final = _LEG * len(_HOLDINGS)


class _Traded(NamedTuple):
    balance: Any
    stocks: Any
    spent: Any
    sold: Any


class _FixedRules(NamedTuple):
    """Rules that never change, so that a hash does not either."""

    initial_balance: float = 10_000.0
    initial_stocks: float = 1.0
    trade_fraction: float = 0.5

    def trade(self, action: Any, balance: Any, stocks: Any, price: Any) -> _Traded:
        """Half of the balance, half of the coins, at a cost of 0.1 %."""
        spent, sold = 0.5 * balance * (action == BUY), 0.5 * stocks * (action == SELL)
        return _Traded(balance - spent + 0.999 * sold * price, stocks - sold + 0.999 * spent / price, spent, sold)


def behaviour_of(policy: Policy) -> str:
    """SHA-256 of the policy's probabilities and values, rounded to 6 decimals, over 600 fixed hours, with holdings that
    its likeliest actions change.

    Raises ModelError where it does not keep what `Policy` promises.
    """
    rules, (balance, stocks) = _FixedRules(), _HOLDINGS[0]
    memory, before = policy.start(), None
    answers = []
    for n, candle in enumerate(_candles()):
        if n % _LEG == 0:
            balance, stocks = _HOLDINGS[n // _LEG]
        output = policy.step(Observation(candle, before, balance, stocks, rules), memory)
        require_promises(output, memory)
        probabilities = output.probabilities.tolist()
        done = rules.trade(int(np.argmax(probabilities)), balance, stocks, candle.close)
        balance, stocks, memory, before = done.balance, done.stocks, output.memory, candle
        answers.append([round(x, DECIMALS) + 0.0 for x in (*probabilities, float(output.value))])
    return hashlib.sha256(json.dumps(answers).encode()).hexdigest()


def require_promises(output: PolicyOutput, memory: Any) -> None:
    """Raises ModelError where the output after `memory` is not what `Policy` promises for one account."""
    probabilities = np.asarray(output.probabilities)
    if probabilities.shape != (3,) or not (probabilities >= 0).all() or abs(probabilities.sum() - 1) > 1e-6:
        raise ModelError(f"a policy's step must return three probabilities that add up to 1, not {probabilities}")
    if np.shape(output.value) != () or not np.isfinite(output.value):
        raise ModelError(f"a policy's step must return one finite number as the value, not {output.value}")
    for array in (memory, output.memory):
        if not isinstance(array, np.ndarray) or array.dtype != np.float64 or array.shape != (memory.size,):
            raise ModelError("a policy's memory must be a one-dimensional float64 array of constant length")
        if not np.isfinite(array).all():
            raise ModelError("a policy's memory must be finite")


def _candles() -> Iterator[Candle]:
    """Hours that rise and fall in turn, some without volume; from a linear congruential generator, so that every
    machine has the same bits.
    """
    state, close = 1, 10_000.0
    for n in range(_BARS):
        moves = []
        for _ in range(4):
            state = (1_103_515_245 * state + 12_345) % 2**31
            moves.append(state / 2**31)
        before, trend = close, 0.002 if n // _LEG % 2 == 0 else -0.002
        close = before * (1 + trend + _SWINGS[n // 40 % 3] * (moves[0] - 0.5))
        high, low = max(before, close) * (1 + 0.01 * moves[1]), min(before, close) * (1 - 0.01 * moves[2])
        yield Candle(_START + n * _HOUR, before, high, low, close, 0.0 if n % 50 == 7 else 100.0 * moves[3])
