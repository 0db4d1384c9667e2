"""The article's trading environment: for one account as a gymnasium environment, for N accounts as tensors."""

from collections.abc import Sequence
from typing import Any, Final, Literal, SupportsInt

import gymnasium as gym
import numpy as np
import pandas as pd
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from bot.market import Candle
from bot.model import ACTIONS, ARTICLE, Array, market_observations
from bot.trading import Rules, account_value, hold_value_at, trade

Benchmark = Literal["hold", "initial"]
RUIN: Final = 0.1
_RULES: Final = Rules()


def benchmark_worth(benchmark: Benchmark, price: Any, start_price: Any, rules: Rules) -> Any:
    """What a profit is measured against, in quote: the initial holdings at `price` (`hold`, the article's) or at the
    price where the window started (`initial`, what readers of the article wanted). Raises ValueError for another.
    """
    if benchmark not in ("hold", "initial"):
        raise ValueError(f"benchmark is 'hold' or 'initial', not {benchmark!r}")
    return hold_value_at(price if benchmark == "hold" else start_price, rules)


class BitcoinTradingEnv(gym.Env[NDArray[np.float32], np.int64]):
    """The article's environment: hold, buy or sell half at each close, paid by the change of the profit.

    `df` has the columns t, o, h, l, c, v, one row a candle. A window of `sample_length` steps starts at a random
    candle, or with `all_data` one window spans everything. Observations are float32 (7,): the five changes in
    percent, balance and coins as multiples of the initial ones. Prices, account and rewards are float64.

    In gymnasium's terms ruin (less than a tenth of the initial worth) terminates an episode, and the window's end
    truncates it: it is a limit of time, and the account would have gone on. The article's `done` is either.
    `info` has `profit` and `value` in quote, `balance`, `stocks`, and `stocks_pct`, the coins' part of the value in
    percent.

    Raises ValueError where a column is missing, a number cannot be a candle's, or there are too few candles.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - gymnasium declares it so

    def __init__(
        self,
        df: pd.DataFrame,
        commission: float = 0.00075,
        initial_balance: float = 10000,
        initial_stocks: float = 1,
        all_data: bool = False,  # noqa: FBT001, FBT002 - the article's signature
        sample_length: int = 500,
        benchmark: Benchmark = "hold",
    ) -> None:
        candles = ohlcv(df)
        self.rules = Rules(float(initial_balance), float(initial_stocks), float(commission))
        self.benchmark: Benchmark = benchmark
        benchmark_worth(benchmark, 1.0, 1.0, self.rules)
        self.all_data = all_data
        self.length = len(candles) - 1 if all_data else int(sample_length)
        if self.length < 1 or len(candles) <= self.length:
            raise ValueError(f"a window of {max(self.length, 1)} steps needs more than {len(candles)} candles")
        self._close: list[float] = candles[:, 3].tolist()
        self._rows = np.zeros((len(candles), 7), np.float32)
        self._rows[:, :5] = market_observations(ARTICLE, candles)
        self.action_space = Discrete(len(ACTIONS))
        highest = np.finfo(np.float32).max
        self.observation_space = Box(np.array([-100] * 5 + [0] * 2, np.float32), highest, dtype=np.float32)
        self._open_account(0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start a window at a random candle, or at `options["start"]`: the row of `df` that is seen first.

        With `all_data` a given start shortens the window, which still ends at the last candle. Raises ValueError for
        a start without a whole window after it.
        """
        super().reset(seed=seed)
        start = (options or {}).get("start")
        if start is None:
            start = self.np_random.integers(len(self._close) - self.length)
        latest = len(self._close) - 1 - (1 if self.all_data else self.length)
        if not 0 <= start <= latest:
            raise ValueError(f"a window can start at 0 to {latest}, not at {start}")
        self._open_account(int(start))
        return self._observation(), self._info(self._close[self.index])

    def _open_account(self, start: int) -> None:
        self.index = self.start = start
        self.end = min(start + self.length, len(self._close) - 1)
        self.balance, self.stocks = self.rules.initial_balance, self.rules.initial_stocks
        self.profit = 0.0
        self._ruin = RUIN * hold_value_at(self._close[start], self.rules)

    def step(self, action: SupportsInt) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Trade at this candle's close and move to the next: observation, reward, terminated, truncated, info.

        Raises ValueError for an action that is none, RuntimeError after the end of the window.
        """
        wanted = int(action)
        if not 0 <= wanted < len(ACTIONS):
            raise ValueError(f"an action is 0 (hold), 1 (buy) or 2 (sell), not {action}")
        if self.index >= self.end:
            raise RuntimeError("the window is over: call reset")
        done = trade(wanted, self.balance, self.stocks, self._close[self.index], self.rules)
        self.balance, self.stocks = done.balance, done.stocks
        self.index += 1
        price = self._close[self.index]
        value = account_value(self.balance, self.stocks, price)
        before = self.profit
        self.profit = value - benchmark_worth(self.benchmark, price, self._close[self.start], self.rules)
        terminated, truncated = value < self._ruin, self.index == self.end
        return self._observation(), self.profit - before, terminated, truncated, self._info(price)

    def _observation(self) -> NDArray[np.float32]:
        row: NDArray[np.float32] = self._rows[self.index].copy()
        row[5:] = ARTICLE.account(self.balance, self.stocks, self._close[self.index], self.rules)
        return row

    def _info(self, price: float) -> dict[str, Any]:
        value = account_value(self.balance, self.stocks, price)
        return {
            "profit": self.profit,
            "value": value,
            "balance": self.balance,
            "stocks": self.stocks,
            "stocks_pct": 100 * self.stocks * price / value if value else 0.0,
        }


def frame(candles: Sequence[Candle]) -> pd.DataFrame:
    """Candles as the table that the environment takes: columns t, o, h, l, c, v."""
    return pd.DataFrame([candle[:6] for candle in candles], columns=list("tohlcv"))


def ohlcv(df: pd.DataFrame) -> Array:
    """Prices and volumes (n, 5) in float64 from the columns o, h, l, c, v. Raises ValueError as the environment."""
    missing = [column for column in "tohlcv" if column not in df.columns]
    if missing:
        raise ValueError(f"candles need the columns t, o, h, l, c, v; missing: {', '.join(missing)}")
    candles = df[list("ohlcv")].to_numpy(np.float64)
    if not (np.isfinite(candles).all() and (candles[:, :4] > 0).all() and (candles[:, 4] >= 0).all()):
        raise ValueError("candles have finite, positive prices and volumes of 0 or more; these do not")
    return candles
