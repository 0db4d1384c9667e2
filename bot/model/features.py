"""Candles and holdings to what the policy sees: one definition for one bar and for a million."""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bot.errors import ModelError
from bot.model.slow import SLOW, Memory

Array = NDArray[np.float64]

_TYPICAL_RETURN: Final = 0.01


class InitialHoldings(Protocol):
    """What an account starts with, in quote and in base currency; `bot.trading.Rules` has it."""

    @property
    def initial_balance(self) -> float:
        """Quote currency."""

    @property
    def initial_stocks(self) -> float:
        """Base currency."""


class _Initial(NamedTuple):
    initial_balance: float
    initial_stocks: float


class Features(NamedTuple):
    """A named way of seeing. `market` maps two arrays (..., 5) of open, high, low, close, volume, the bar before and
    the bar itself, to (..., len(market_names)); a bar without a bar before is given itself.
    `account` maps balance, stocks, close and the account's initial holdings to len(account_names) numbers of the
    type it got. Where there is a `memory`, what it looks at is seen after the numbers of the two bars.
    """

    name: str
    market: Callable[[Array, Array], Array]
    market_names: tuple[str, ...]
    account: Callable[[Any, Any, Any, InitialHoldings], tuple[Any, ...]]
    account_names: tuple[str, ...]
    memory: Memory | None = None


def changes(before: Array, bar: Array) -> Array:
    """The article's five: change in percent of open, high, low, close and volume, `100 * (x[i] / x[i-1] - 1)`.

    The change is 0 where the number before is 0, which only happens to volumes.
    """
    known = before != 0
    return np.where(known, 100 * (bar / np.where(known, before, 1.0) - 1), 0.0)


def shares_of_start(balance: Any, stocks: Any, _close: Any, initial: InitialHoldings) -> tuple[Any, Any]:
    """The article's two: balance and coins, each divided by the initial amount (by 1 where that is 0)."""
    return balance / (initial.initial_balance or 1.0), stocks / (initial.initial_stocks or 1.0)


def log_returns(before: Array, bar: Array) -> Array:
    """Five that stay small whatever happens: close, high and low as logarithmic returns from the close before, where
    in its range the bar closed (-1 at the low, 1 at the high, 0 without a range), and the logarithmic change of
    volume plus one coin.

    Returns are in units of 1 %, about one standard deviation of an hour; they and the volume's change pass the
    inverse hyperbolic sine, which leaves small numbers as they are and grows like a logarithm beyond.
    """
    high, low, close = bar[..., 1], bar[..., 2], bar[..., 3]
    prices = np.log(np.stack([close, high, low], axis=-1) / before[..., 3:4]) / _TYPICAL_RETURN
    span = high - low
    position = np.where(span > 0, (2 * close - high - low) / np.where(span > 0, span, 1.0), 0.0)
    volume = np.log1p(bar[..., 4]) - np.log1p(before[..., 4])
    return np.concatenate([np.arcsinh(prices), position[..., None], np.arcsinh(volume)[..., None]], axis=-1)


def share_in_coins(balance: Any, stocks: Any, close: Any, _initial: InitialHoldings) -> tuple[Any]:
    """The coins' share of the account's value, from -1 (none) to 1 (all); -1 for an account without any value."""
    coins = stocks * close
    value = balance + coins
    return (2 * coins / (value + (value == 0)) - 1,)


ARTICLE: Final = Features(
    "article",
    changes,
    ("open_pct", "high_pct", "low_pct", "close_pct", "volume_pct"),
    shares_of_start,
    ("balance", "stocks"),
)
_FAST: Final = ("close_return", "high_return", "low_return", "close_position", "volume_change")
RETURNS: Final = Features(
    "returns",
    log_returns,
    _FAST,
    share_in_coins,
    ("share_in_coins",),
)
SLOW_RETURNS: Final = RETURNS._replace(name="slow", market_names=(*_FAST, *SLOW.names), memory=SLOW)
_ALL: Final = {features.name: features for features in (ARTICLE, RETURNS, SLOW_RETURNS)}


def get_features(name: str) -> Features:
    """The features of that name. Raises ModelError where there are none."""
    if name not in _ALL:
        raise ModelError(f"the features {name!r} are not known; the known ones are {', '.join(_ALL)}")
    return _ALL[name]


def market_observations(features: Features, candles: Array) -> Array:
    """(n, 5) candles in order of time to (n, market features); the first has no bar before and is all zeros
    for features that are changes.
    """
    before = np.concatenate([candles[:1], candles[:-1]])
    seen = features.market(before, candles)
    if features.memory is None:
        return seen
    memories = np.zeros((len(candles) + 1, features.memory.size))
    for n, (last, bar) in enumerate(zip(before, candles, strict=True)):
        memories[n + 1] = features.memory.move(memories[n], last, bar)
    return np.concatenate([seen, features.memory.look(memories[1:], candles)], axis=-1)


@cache
def fingerprint(name: str) -> str:
    """SHA-256 of what the features of that name make of fixed candles and holdings, rounded to 9 decimals.

    It is the behaviour that is hashed: a model's manifest holds it, and a changed formula is found when it is loaded.
    """
    features = get_features(name)
    candles = np.array(
        [
            [100.0, 110.0, 90.0, 105.0, 12.0],
            [105.0, 105.0, 105.0, 105.0, 0.0],
            [104.0, 250.0, 51.0, 200.0, 4000.0],
            [200.0, 201.5, 199.0, 200.25, 1.25],
        ]
    )
    seen = market_observations(features, candles).tolist()
    held = [
        [float(x) for x in features.account(balance, stocks, 150.0, _Initial(10_000.0, 1.0))]
        for balance, stocks in ((10_000.0, 1.0), (0.0, 3.5), (12_345.678, 0.0))
    ]
    rounded = [[round(x, 9) + 0.0 for x in row] for row in seen + held]
    names = [features.market_names, features.account_names]
    return hashlib.sha256(json.dumps([names, rounded]).encode()).hexdigest()
