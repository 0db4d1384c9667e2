"""Rules that a model is judged against: never trade, follow the trend, trade at random."""

from dataclasses import dataclass
from math import fsum
from typing import Any, Final

import numpy as np

from bot.model.actions import BUY, HOLD, SELL
from bot.model.features import Array
from bot.model.policy import Observation, PolicyOutput

HOUR: Final = 3600
DAY: Final = 86_400
_ALL_IN: Final = 0.95
_ROWS: Final = np.eye(3)


def decided(action: Any, memory: Array) -> PolicyOutput:
    """The output of a policy that is sure: probability 1 for the action of each account, and a value of 0."""
    probabilities: Array = _ROWS[action]
    return PolicyOutput(probabilities, np.zeros(probabilities.shape[:-1]), memory)


@dataclass(frozen=True, slots=True)
class Hold:
    """Never trades. Remembers nothing."""

    def start(self) -> Array:
        """As `Policy.start`."""
        return np.zeros(0)

    def step(self, observation: Observation, memory: Array) -> PolicyOutput:
        """As `Policy.step`."""
        return decided(np.full(np.shape(observation.balance), HOLD), memory)


@dataclass(frozen=True, slots=True)
class Random:
    """Buys and sells by chance, each with the same probability at every bar, whatever the market does.

    `turnover` is the value traded a day, as a multiple of the account's value. With probability q for a buy and q for
    a sell, a share s in coins and the account's trade fraction f, a bar trades q f (1 - s) + q f s = q f of the value
    on average, so q is the turnover of a bar divided by f, at most one half. It holds at the first candle of a warm-up,
    as the bars' length is not known yet. Remembers nothing; in the mode `argmax` it never trades.
    """

    turnover: float

    def start(self) -> Array:
        """As `Policy.start`."""
        return np.zeros(0)

    def step(self, observation: Observation, memory: Array) -> PolicyOutput:
        """As `Policy.step`."""
        candle, before, balance, _, rules = observation
        days = 0.0 if before is None else (candle.bar_time - before.bar_time) / DAY
        chance = min(self.turnover * days / rules.trade_fraction, 0.5)
        shape = np.shape(balance)
        probabilities = np.broadcast_to(np.array([1 - 2 * chance, chance, chance]), (*shape, 3))
        return PolicyOutput(probabilities, np.zeros(shape), memory)


@dataclass(frozen=True, slots=True)
class Trend:
    """In coins while the close is above the average close of the last `days` days, in money while it is below.

    The average is over the newest close of each clock hour, this bar's included, and over those there are where the
    history is shorter. Above it, the rule buys bar after bar until 95 % of the value is in coins; below, it sells
    until 95 % is in money; at it, it holds. A trade that the account's minimums refuse is not asked for.

    Remembers the closes: a ring with a place for each hour, 0 where there is none. Sums are exact (`math.fsum`), and
    the comparison is with the sum, so that a market that stands still is at its average.
    """

    days: int

    def start(self) -> Array:
        """As `Policy.start`."""
        return np.zeros(24 * self.days)

    def step(self, observation: Observation, memory: Array) -> PolicyOutput:
        """As `Policy.step`."""
        candle, before, balance, stocks, _ = observation
        places = memory.shape[-1]
        hour = candle.bar_time // HOUR
        closes = memory.copy()
        if before is not None:
            skipped = np.arange(max(before.bar_time // HOUR + 1, hour - places), hour)
            closes[..., skipped % places] = 0.0
        closes[..., hour % places] = candle.close
        side = self._side(closes, candle.close)
        value = balance + stocks * candle.close
        coins = stocks * candle.close / (value + (value == 0))
        buy, sell = (side > 0) & (coins < _ALL_IN), (side < 0) & (coins > 1 - _ALL_IN)
        wanted = np.where(buy, BUY, np.where(sell, SELL, HOLD))
        return decided(_unless_refused(wanted, observation), closes)

    @staticmethod
    def _side(closes: Array, close: float) -> Any:
        """Above 0 where the close is above the average of its row, below 0 where it is below."""
        rows = closes.reshape(-1, closes.shape[-1])
        sides = [close * np.count_nonzero(row) - fsum(row) for row in rows]
        return np.array(sides).reshape(closes.shape[:-1])


def _unless_refused(wanted: Any, observation: Observation) -> Any:
    candle, _, balance, stocks, rules = observation
    done = rules.trade(wanted, balance, stocks, candle.close)
    return wanted * ((done.spent > 0) | (done.sold > 0))
