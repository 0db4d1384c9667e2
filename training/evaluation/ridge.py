"""A ridge regression as a rival: the same features and the same trading rule, and nothing that has to be trained for
hours.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.market import Candle
from bot.model import BUY, HOLD, SELL, USUAL_WARMUP, Array, Features, market_observations
from bot.trading import Rules
from training.data import numbers

HORIZON: Final = 24
_PENALTIES: Final = tuple(10.0**power for power in range(-4, 5))


class Ridge(NamedTuple):
    """What features say of the log return of the next 24 bars: `(features - center) / scale @ weights + constant`."""

    features: Features
    center: Array
    scale: Array
    weights: Array
    constant: float

    @property
    def warmup_bars(self) -> int:
        """How many bars the features want to have seen."""
        return self.features.memory.warmup_bars if self.features.memory else USUAL_WARMUP

    def expected(self, candles: Sequence[Candle]) -> Array:
        """The expected log return of the 24 bars after each of n candles without holes, (n,)."""
        seen = market_observations(self.features, numbers(candles))
        told: Array = (seen - self.center) / self.scale @ self.weights + self.constant
        return told

    def actions(self, candles: Sequence[Candle], rules: Rules) -> NDArray[np.int64]:
        """What to do at each candle, (n,): buy where more than a trade's commission is expected to be gained until the
        end of the horizon, sell where more than that is expected to be lost, hold in between.
        """
        told = self.expected(candles)
        wanted: NDArray[np.int64] = np.where(
            told > rules.commission, BUY, np.where(told < -rules.commission, SELL, HOLD)
        )
        return wanted


def fit_ridge(features: Features, runs: Sequence[Sequence[Candle]]) -> Ridge:
    """Fit on runs of candles without holes, of any number of markets; the penalty is the one of nine with the least
    error by generalised cross-validation (Golub, Heath and Wahba 1979). Raises ValueError where no run is longer than
    the horizon.
    """
    seen, gains = [], []
    for run in runs:
        if len(run) > HORIZON:
            closes = np.log(numbers(run)[:, 3])
            seen.append(market_observations(features, numbers(run))[:-HORIZON])
            gains.append(closes[HORIZON:] - closes[:-HORIZON])
    if not seen:
        raise ValueError(f"a ridge regression needs a run of more than {HORIZON} candles")
    x, y = np.concatenate(seen), np.concatenate(gains)
    center, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    x = (x - center) / scale
    constant = float(y.mean())
    values, vectors = np.linalg.eigh(x.T @ x)
    along = vectors.T @ (x.T @ (y - constant))
    total, n = float(((y - constant) ** 2).sum()), len(y)

    def error(penalty: float) -> float:
        kept = 1 / (values + penalty * n)
        left = total - 2 * float((along**2 * kept).sum()) + float((along**2 * kept**2 * values).sum())
        return left / (n - float((values * kept).sum()) - 1) ** 2

    best = min(_PENALTIES, key=error)
    return Ridge(features, center, scale, vectors @ (along / (values + best * n)), constant)
