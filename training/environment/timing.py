"""An environment that pays for timing alone, on any number of markets whatever their prices."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bot.model import Array, Features, market_observations
from bot.trading import Rules, account_value, trade
from training.environment.single import RUIN
from training.environment.vector import VectorTradingEnv

WORTH: Final = 10_000.0
"""What an account is worth at the start of a window, in quote; a coin is worth it too."""


class TrainingMarket(NamedTuple):
    """Candles (n, 5) of one market in order of time, and which of them are learned from: from the first of each span to
    the one before the second.
    """

    candles: Array
    spans: tuple[tuple[int, int], ...]


def whole(candles: Array) -> TrainingMarket:
    """A market that is learned from as a whole."""
    return TrainingMarket(candles, ((0, len(candles)),))


class TimingEnv(VectorTradingEnv):
    """N accounts that are paid for being in coins at better hours than others, less what trading costs.

    A window lies in one span of one market, and every hour of every market is as likely as any other to be in one. Its
    prices are divided by its first, so that a market's price level is nowhere to be seen, and its account starts with
    any share in coins, equally likely from 0 to 1.

    The reward of a step is `share * (return - mean return) - cost`: the share in coins after the action, the simple
    return of the next bar, the mean return of a bar over all of the market's spans, and commission and half of the
    spread as parts of the account's value. So every constant share earns nothing on average, and only its changes pay.

    Raises ValueError where no span is longer than a window.
    """

    unit = 0.01

    def __init__(
        self,
        markets: Sequence[TrainingMarket],
        accounts: int,
        length: int,
        *,
        rules: Rules,
        features: Features,
        device: torch.device | str = "cpu",
    ) -> None:
        self.accounts, self.length = accounts, length
        self.rules, self.features, self.device = rules, features, torch.device(device)
        closes, seen, starts, drifts, offset = [], [], [], [], 0
        for candles, spans in markets:
            close = candles[:, 3]
            returns = np.concatenate([close[first + 1 : end] / close[first : end - 1] - 1 for first, end in spans])
            closes.append(close)
            drifts.append(np.full(len(close), returns.mean() if len(returns) else 0.0))
            seen.append(market_observations(features, candles).astype(np.float32))
            starts += [np.arange(first, end - length) + offset for first, end in spans]
            offset += len(close)
        self._starts = torch.from_numpy(np.concatenate(starts))
        if not len(self._starts):
            raise ValueError(f"a window of {length} steps needs a longer run of candles without a gap")
        self.close = torch.tensor(np.concatenate(closes), dtype=torch.float64, device=self.device)
        self.market = torch.tensor(np.concatenate(seen), device=self.device)
        self._drift = torch.tensor(np.concatenate(drifts), dtype=torch.float64, device=self.device)

    def begin(self, chance: torch.Generator) -> None:
        """Start every window anew, in a place and with a share that `chance` draws."""
        place = torch.randint(len(self._starts), (self.accounts,), generator=chance)
        self.start(self._starts[place], torch.rand(self.accounts, generator=chance, dtype=torch.float64))

    def start(self, starts: Tensor, shares: Tensor) -> None:
        """Start windows at the candles `starts` (N,), numbered through all markets, with `shares` (N,) in coins."""
        self.index = starts.to(self.device) + torch.arange(self.length + 1, device=self.device)[:, None]
        closes = self.close[self.index]
        self.prices = WORTH * closes / closes[0]
        self._moves = self.prices.diff(dim=0) / self.prices[:-1] - self._drift[self.index[:-1]]
        self.stocks = shares.to(self.device)
        self.balance = WORTH * (1 - self.stocks)
        self._held = self.stocks, self.balance
        self.profit = torch.zeros_like(self.balance)
        self.time = 0

    def exposure(self) -> Tensor:
        """The share of each account's value that is in coins (N,)."""
        coins = self.stocks * self.prices[self.time]
        return coins / (self.balance + coins)

    def moves(self) -> Tensor:
        """Returns of the coming bars less their mean (length, N)."""
        return self._moves

    def act(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Trade at this close and move to the next: rewards (N,) and which accounts are ruined.

        Raises RuntimeError after the end of the windows.
        """
        if self.time >= self.length:
            raise RuntimeError("the windows are over: call begin")
        price = self.prices[self.time]
        worth = account_value(self.balance, self.stocks, price)
        done = trade(actions, self.balance, self.stocks, price, self.rules)
        self.balance, self.stocks = done.balance, done.stocks
        coins = self.stocks * price
        after = self.balance + coins
        rewards = coins / after * self._moves[self.time] + after / worth - 1
        self.time += 1
        value = account_value(self.balance, self.stocks, self.prices[self.time])
        stocks, balance = self._held
        self.profit = value - account_value(balance, stocks, self.prices[self.time])
        return rewards, value < RUIN * WORTH
