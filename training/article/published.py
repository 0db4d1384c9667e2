"""The article's loop in the style in which it was published: each price is looked up in a data frame, row by row.

Only `bench` uses it, to say how much faster than that the trainers here are; the same numbers come out of
`training.article.ppo.play`, which reads arrays.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch.distributions import Categorical

from bot.market import Candle
from bot.model import ARTICLE, market_observations
from bot.trading import Rules, account_value, hold_value_at, trade
from training.article.ppo import PPO, REWARD_SCALE
from training.article.window import LENGTH
from training.data import numbers
from training.environment import RUIN, frame


class PublishedLoop:
    """The environment and the loop over it, on data frames; one account, one step at a time."""

    def __init__(self, candles: Sequence[Candle]) -> None:
        self.data = frame(candles)
        seen = market_observations(ARTICLE, numbers(candles)).astype(np.float32)
        self.features = pd.DataFrame(seen, columns=list(ARTICLE.market_names))
        self.rules = Rules()
        self.chance = np.random.default_rng(0)

    def observation(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """The article's seven numbers."""
        market = self.features.iloc[self.index].values
        close = self.data.iloc[self.index]["c"]
        return np.concatenate([market, ARTICLE.account(self.balance, self.stocks, close, self.rules)]).astype(
            np.float32
        )

    def reset(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """A random window, the initial account."""
        self.index = int(self.chance.integers(0, len(self.data) - LENGTH))
        self.end = self.index + LENGTH
        self.balance, self.stocks = self.rules.initial_balance, self.rules.initial_stocks
        self.profit = 0.0
        self.floor = RUIN * float(hold_value_at(self.data.iloc[self.index]["c"], self.rules))
        return self.observation()

    def step(self, action: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.float32]], float, bool]:
        """Carry out the action at this close; the next observation, the reward, and whether the episode is over."""
        done = trade(action, self.balance, self.stocks, self.data.iloc[self.index]["c"], self.rules)
        self.balance, self.stocks = done.balance, done.stocks
        self.index += 1
        close = self.data.iloc[self.index]["c"]
        value = account_value(self.balance, self.stocks, close)
        before, self.profit = self.profit, value - hold_value_at(close, self.rules)
        return self.observation(), self.profit - before, self.index == self.end or value < self.floor

    def play(self, model: PPO) -> tuple[int, float]:
        """One episode, its steps put into the model; how many there were, and the profit at its end."""
        state, hidden, over, steps = self.reset(), model.start(), False, 0
        while not over:
            with torch.no_grad():
                probabilities, after = model.pi(torch.from_numpy(state).float(), hidden)
            action = int(Categorical(probabilities.view(-1)).sample().item())  # type: ignore[no-untyped-call]
            following, reward, over = self.step(action)
            chance = probabilities.view(-1)[action].item()
            model.put_data((state, action, reward / REWARD_SCALE, following, chance, hidden, over))
            state, hidden = following, after
            steps += 1
        return steps, self.profit
