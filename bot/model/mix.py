"""The rule `mix`: a share of the value in coins, brought back by the account's own trades when it strays."""

from dataclasses import dataclass
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.model.actions import BUY, SELL
from bot.model.features import Array
from bot.model.policy import Observation, PolicyOutput
from bot.model.rivals import decided

MOST_TRADES: Final = 4
INNER: Final = 0.5
_PLANS: Final = tuple(plan for n in range(1, MOST_TRADES + 1) for plan in product((BUY, SELL), repeat=n))
_FIRST: Final = np.array([plan[0] for plan in _PLANS])


class _Landings(NamedTuple):
    """Where each plan ends, (plans, ...): share in coins less the rule's, and what is traded on the way as a part of
    the value; both infinite where a trade of the plan is refused.
    """

    off: Array
    turnover: Array


@dataclass(frozen=True, slots=True)
class Mix:
    """Stands at `share` of its value in coins: holds while the share is within `band` of that, and returns to within
    half the band when it is not.

    Trades are coarse (a buy moves a share s to about s + f (1 - s), a sell to s (1 - f), with the account's trade
    fraction f), so while it returns it looks at every sequence of up to four trades from the true holdings at this
    close, carries out the first trade of the best, and looks again at the next bar. The best is

    1. the one with the least turnover that ends within half the band of the share;
    2. where none does and the share is outside of the band, the one with the least turnover that ends within the band;
    3. where there is none either, the single trade towards the share, if it stays on this side of it.

    Where there is nothing of that it holds. A trade that the account refuses is in no sequence. At a price that stands
    still each choice leaves less to trade than the one before, so a return ends; the next begins outside of the band.

    Remembers whether it is returning, as 1 or 0.
    """

    share: float
    band: float

    def start(self) -> Array:
        """As `Policy.start`."""
        return np.zeros(1)

    def step(self, observation: Observation, memory: Array) -> PolicyOutput:
        """As `Policy.step`."""
        off = self._off(observation.balance, observation.stocks, observation.candle.close)
        outside = np.abs(off) > self.band
        returning = outside | ((memory[..., 0] > 0) & (np.abs(off) > INNER * self.band))
        if not returning.any():
            return decided(np.zeros(off.shape, np.int64), np.zeros_like(memory))
        action = np.where(returning, self._first_trade(observation, off, outside), 0)
        return decided(action, np.where(outside | (action > 0), 1.0, 0.0)[..., None])

    def _off(self, balance: Any, stocks: Any, close: float) -> Array:
        """The share in coins less the rule's, (...)."""
        coins = stocks * close
        value = balance + coins
        return np.asarray(coins / (value + (value == 0)) - self.share)

    def _first_trade(self, observation: Observation, off: Array, outside: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The action (...) that the best sequence begins with, HOLD where there is none."""
        landings = self._landings(observation)
        distance = np.abs(landings.off)
        single = np.array([len(plan) == 1 for plan in _PLANS]).reshape(-1, *(1,) * off.ndim)
        between = np.where(
            off > 0, (landings.off >= 0) & (landings.off < off), (landings.off <= 0) & (landings.off > off)
        )
        action = np.zeros(off.shape, np.int64)
        for fits in (single & between, (distance <= self.band) & outside, distance <= INNER * self.band):
            best = np.where(fits, landings.turnover, np.inf).argmin(0)
            action = np.where(fits.any(0), _FIRST[best], action)
        return action

    def _landings(self, observation: Observation) -> _Landings:
        close, rules = observation.candle.close, observation.rules
        value = observation.balance + observation.stocks * close
        reached: dict[tuple[int, ...], tuple[Any, Any, Any, Any]] = {
            (): (observation.balance, observation.stocks, 0.0, np.True_)
        }
        off, turnover = [], []
        for plan in _PLANS:
            balance, stocks, traded, possible = reached[plan[:-1]]
            done = rules.trade(plan[-1], balance, stocks, close)
            moved = done.spent + done.sold * close
            possible, traded = possible & (moved > 0), traded + moved
            reached[plan] = done.balance, done.stocks, traded, possible
            off.append(np.where(possible, self._off(done.balance, done.stocks, close), np.inf))
            turnover.append(np.where(possible, traded / (value + (value == 0)), np.inf))
        return _Landings(np.array(off), np.array(turnover))
