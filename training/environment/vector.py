"""The article's trading environment for N accounts at once, as tensors."""

from typing import Final

import torch
from torch import Tensor

from bot.model import ARTICLE, Array, Features, market_observations
from bot.trading import Rules, account_value, hold_value_at, trade
from training.environment.single import RUIN, Benchmark, benchmark_worth

_RULES: Final = Rules()


class VectorTradingEnv:
    """The same rules for N accounts at once, each in its own window of the same candles; all tensors, no Python per
    account.

    `candles` is (n, 5) open, high, low, close, volume. Every window has `length` steps, so they end together.
    `market` (n, market features) holds what every candle looks like, `index` (length + 1, N) the candle of each
    account at each step, `prices` (length + 1, N) its close; `balance`, `stocks` and `profit` are (N,). Money and
    rewards are float64, observations float32, on `device`.

    An account that is ruined says so in `dones` and goes on by its rules: what that means is the learner's to say.
    `unit` is a reward of ordinary size.
    Raises ValueError where there are fewer candles than a window needs.
    """

    unit = 100.0

    def __init__(
        self,
        candles: Array,
        accounts: int,
        length: int = 500,
        *,
        rules: Rules = _RULES,
        features: Features = ARTICLE,
        benchmark: Benchmark = "hold",
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        if length < 1 or len(candles) <= length:
            raise ValueError(f"a window of {length} steps needs more than {len(candles)} candles")
        self.accounts, self.length = accounts, length
        self.rules, self.features, self.device = rules, features, torch.device(device)
        self.benchmark: Benchmark = benchmark
        self.close = torch.tensor(candles[:, 3], dtype=torch.float64, device=self.device)
        market = market_observations(features, candles)
        self.market = torch.tensor(market, dtype=torch.float32, device=self.device)
        self.generator = torch.Generator().manual_seed(seed)
        self.reset()

    def reset(self, starts: Tensor | None = None) -> Tensor:
        """Start every window anew, at the candles `starts` (N,) or at random ones: observations (N, features)."""
        last = len(self.close) - self.length
        if starts is None:
            starts = torch.randint(last, (self.accounts,), generator=self.generator)
        elif starts.shape != (self.accounts,) or int(starts.min()) < 0 or int(starts.max()) >= last:
            raise ValueError(f"starts are {self.accounts} numbers from 0 to {last - 1}")
        self.index = starts.to(self.device) + torch.arange(self.length + 1, device=self.device)[:, None]
        self.prices = self.close[self.index]
        against = benchmark_worth(self.benchmark, self.prices, self.prices[:1], self.rules)
        self._against = against.expand(self.length + 1, -1)
        self._ruin = RUIN * hold_value_at(self.prices[0], self.rules)
        self.balance = torch.full_like(self.prices[0], self.rules.initial_balance)
        self.stocks = torch.full_like(self.prices[0], self.rules.initial_stocks)
        self.profit = torch.zeros_like(self.balance)
        self.time = 0
        return self.observe()

    def begin(self, chance: torch.Generator) -> None:
        """Start every window anew, as `chance` draws."""
        self.reset(torch.randint(len(self.close) - self.length, (self.accounts,), generator=chance))

    def exposure(self) -> Tensor:
        """The coins beyond those of the benchmark (N,), which `moves` multiplies."""
        return self.stocks - (self.rules.initial_stocks if self.benchmark == "hold" else 0.0)

    def moves(self) -> Tensor:
        """What an exposure of 1 is paid by each step of these windows (length, N), in the unit of the rewards."""
        return self.prices.diff(dim=0)

    def observe_account(self) -> Tensor:
        """What each account sees of itself, (N, account features)."""
        seen = self.features.account(self.balance, self.stocks, self.prices[self.time], self.rules)
        return torch.stack(seen, 1).float()

    def observe(self) -> Tensor:
        """What each account sees: the market at its candle, then itself (N, features)."""
        return torch.cat([self.market[self.index[self.time]], self.observe_account()], 1)

    def act(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Trade at this close, move to the next and look at nothing: rewards (N,) and which accounts are ruined.

        Raises RuntimeError after the end of the windows.
        """
        if self.time >= self.length:
            raise RuntimeError("the windows are over: call reset")
        done = trade(actions, self.balance, self.stocks, self.prices[self.time], self.rules)
        self.balance, self.stocks = done.balance, done.stocks
        self.time += 1
        value = account_value(self.balance, self.stocks, self.prices[self.time])
        profit = value - self._against[self.time]
        rewards, self.profit = profit - self.profit, profit
        return rewards, value < self._ruin

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Trade and look: observations (N, features), rewards (N,), dones (N,) at ruin or at the windows' end."""
        rewards, ruined = self.act(actions)
        return self.observe(), rewards, ruined | (self.time == self.length)
