"""Markets whose truth is known: how much of a signal the default training finds, what it costs where there is none."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.errors import UsageError
from bot.market import Candle
from bot.model import BUY, SELL, Array, Model, wanted_warmup
from bot.report import bars_a_year
from bot.trading import rules_of
from training.data import Market, numbers
from training.environment import WORTH
from training.evaluation import SHARE, Runs, planned_runs, policy_runs, span_of, timing_gains
from training.learner import TrainingSettings
from training.selection import select

HOURS: Final = 45_000
HELD_OUT: Final = 12_000
_FIRST_BAR: Final = 1_500_001_200
_BAR: Final = 3600


class KnownMarket(NamedTuple):
    """Candles, and whether whoever knew the truth would be in coins after each of them; None where there is nothing to
    know.
    """

    name: str
    candles: list[Candle]
    up: NDArray[np.bool_] | None


def shuffled(candles: Sequence[Candle], seed: int) -> KnownMarket:
    """Real hours in random order: each keeps its shape relative to the close before it, and its volume."""
    table = numbers(candles)
    before = np.concatenate([table[:1, 0], table[:-1, 3]])
    order = np.random.default_rng(seed).permutation(len(table))
    shapes, volumes = (table[:, :4] / before[:, None])[order], table[order, 4]
    closes = table[0, 0] * np.cumprod(shapes[:, 3])
    prices = shapes * np.concatenate([table[:1, 0], closes[:-1]])[:, None]
    return KnownMarket("noise", _candles(prices, volumes), None)


def regimes(hours: int, seed: int) -> KnownMarket:
    """Regimes of 36 hours on average, up or down 15 basis points an hour under 60 of noise. The volume is e times as
    high in one kind as in the other, under noise that is as large.
    """
    chance = np.random.default_rng(seed)
    up = np.cumsum(chance.random(hours) < 1 / 36) % 2 == 0
    returns = _before(np.where(up, 0.0015, -0.0015)) + chance.normal(0, 0.006, hours)
    volumes = np.exp(4 + np.where(up, 0.5, -0.5) + chance.normal(0, 0.5, hours))
    return KnownMarket("regimes", _walk(returns, volumes, chance), up)


def slow_trend(hours: int, seed: int) -> KnownMarket:
    """Trends of 20 days on average, up or down 5 basis points an hour under 60 of noise; only past prices show them."""
    chance = np.random.default_rng(seed)
    up = np.cumsum(chance.random(hours) < 1 / 480) % 2 == 0
    returns = _before(np.where(up, 0.0005, -0.0005)) + chance.normal(0, 0.006, hours)
    return KnownMarket("slow trend", _walk(returns, chance.lognormal(4, 0.5, hours), chance), up)


def announced_jumps(hours: int, seed: int) -> KnownMarket:
    """Every four days or so a jump of 4 % up or down; a day before it an hour of 20 times the volume says up, one of a
    twentieth says down.
    """
    chance = np.random.default_rng(seed)
    announced = np.flatnonzero(chance.random(hours - 25) < 1 / 96)
    upwards = chance.random(len(announced)) < 0.5
    returns = chance.normal(0, 0.006, hours)
    np.add.at(returns, announced + 24, np.where(upwards, 0.04, -0.04))
    volumes = chance.lognormal(4, 0.5, hours)
    volumes[announced] *= np.where(upwards, 20.0, 0.05)
    coming = np.zeros(hours)
    for hour, sign in zip(announced, np.where(upwards, 1, -1), strict=True):
        coming[hour : hour + 24] += sign
    known = np.flatnonzero(coming)
    latest = np.searchsorted(known, np.arange(hours), side="right") - 1
    up = np.where(latest >= 0, coming[known[np.maximum(latest, 0)]] > 0, True)  # noqa: FBT003 - until the first
    return KnownMarket("announced jumps", _walk(returns, volumes, chance), up)


PLANTED: Final[tuple[Callable[[int, int], KnownMarket], ...]] = (regimes, slow_trend, announced_jumps)


def _before(values: Array) -> Array:
    """What is known at a bar's close moves the bar after it."""
    moved: Array = np.concatenate([[0.0], values[:-1]])
    return moved


def _walk(returns: Array, volumes: Array, chance: np.random.Generator) -> list[Candle]:
    closes = 5000 * np.exp(np.cumsum(returns - returns.mean()))
    opens = np.concatenate([[5000.0], closes[:-1]])
    wicks = np.abs(chance.normal(0, 0.002, (2, len(closes))))
    highs, lows = np.maximum(opens, closes) * (1 + wicks[0]), np.minimum(opens, closes) * (1 - wicks[1])
    return _candles(np.stack([opens, highs, lows, closes], axis=1), volumes)


def _candles(prices: Array, volumes: Array) -> list[Candle]:
    rows = zip(prices.tolist(), volumes.tolist(), strict=True)
    return [
        Candle(_FIRST_BAR + _BAR * n, o, max(o, h, low, c), min(o, h, low, c), c, v)
        for n, ((o, h, low, c), v) in enumerate(rows)
    ]


def measure_bounds(
    candles: Sequence[Candle], settings: TrainingSettings, draws: int, threads: int
) -> Iterator[dict[str, Any]]:
    """The default training on each known market, `draws` times, and its model on the hours after: one row each.

    `timing_a_year` is its log return over the constant mix of its own exposure, `cost_a_year` its commission as a part
    of its value; `found` its timing as a part of that of an account that knows the truth and buys or sells every hour.
    """
    for seed in range(draws):
        yield judged(shuffled(candles, seed), settings, seed, threads)
        for plant in PLANTED:
            yield judged(plant(HOURS, seed), settings, seed, threads)


def judged(
    known: KnownMarket, settings: TrainingSettings, seed: int, threads: int = 1, held_out: int = HELD_OUT
) -> dict[str, Any]:
    """One row of `measure_bounds`. Raises UsageError where no candles are left to learn from."""
    cut = len(known.candles) - held_out
    if cut < 1:
        raise UsageError(f"{len(known.candles):,} candles are too few: the last {held_out:,} are held out")
    market = Market(known.name, "", _BAR, known.candles[:cut])
    chosen = select([market], settings, seed=seed, threads=threads)
    row = {"market": known.name, "seed": seed, "evidence": chosen.found}
    row |= _after(known, cut, chosen.model, settings)
    return row


def _after(known: KnownMarket, cut: int, model: Model, settings: TrainingSettings) -> dict[str, Any]:
    span = span_of(known.candles, known.candles[cut].bar_time, None, _BAR, wanted_warmup(model.policy))
    rules = rules_of(settings.account)._replace(initial_balance=WORTH).with_share(SHARE, span.closes[0])
    years = len(span.decided) / bars_a_year(_BAR)

    def timing(runs: Runs) -> float:
        return float(timing_gains(span, runs, rules).sum(0).mean()) / years

    runs = policy_runs(model, span, rules, "sample", range(4))
    row = {
        "timing_a_year": round(timing(runs), 4),
        "cost_a_year": round(float(runs.costs.sum(0).mean()) / years, 4),
        "exposure": round(float(runs.shares.mean()), 4),
    }
    if known.up is not None:
        best = planned_runs(span, rules, np.where(known.up[cut:], BUY, SELL)[:, None])
        row["found"] = round(timing(runs) / timing(best), 4)
    return row
