"""What a candle is, when it is closed, and what makes a run of candles whole."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isfinite
from typing import Final, NamedTuple

MAX_PRICE: Final = 1e12  # and 1 / MAX_PRICE the least: nothing that is computed from such prices overflows
MAX_VOLUME: Final = 1e18
TOLERANCE: Final = 0.2
_LAST_TIME: Final = 253_402_300_799  # the end of the year 9999


class Candle(NamedTuple):
    """One bar: `bar_time` is its open time in Unix seconds, prices in quote currency, `volume` in base currency.

    `synthetic` marks a bar that the exchange does not have: flat at the close before, without volume.
    """

    bar_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    synthetic: bool = False


class BadCandlesError(ValueError):
    """Candles that cannot be what an exchange traded; the message names the bar and what is wrong with it."""


def find_flaw(candle: Candle, bar: int) -> str | None:
    """What makes a candle impossible on its own, in words, or None."""
    prices = candle[1:5]
    if not all(isfinite(number) for number in candle[1:6]):
        return "has a number that is not finite"
    if min(prices) <= 0:
        return "has a price that is not positive"
    if candle.volume < 0:
        return "has a negative volume"
    return _implausible(candle, bar)


def _implausible(candle: Candle, bar: int) -> str | None:
    prices = candle[1:5]
    if max(prices) > MAX_PRICE or min(prices) < 1 / MAX_PRICE or candle.volume > MAX_VOLUME:
        return "has a number that no market has"
    if candle.high < max(prices) or candle.low > min(prices):
        return "has its open or close outside of high and low"
    if candle.bar_time % bar or not 0 <= candle.bar_time <= _LAST_TIME:
        return f"does not start at a multiple of {bar} seconds since 1970"
    return None


def validate_candles(candles: Iterable[Candle], bar: int) -> list[Candle]:
    """The candles in order of time, equal duplicates dropped.

    Raises BadCandlesError for a candle with a flaw and for two candles of one bar that differ.
    """
    ordered: list[Candle] = []
    for row in sorted(candles):
        if problem := find_flaw(row, bar):
            raise BadCandlesError(f"the candle of {row.bar_time} {problem}: {row[1:6]}")
        candle = row._replace(volume=row.volume + 0.0)  # no negative zero, which SQLite does not keep
        if ordered and ordered[-1].bar_time == candle.bar_time:
            if ordered[-1] != candle:
                raise BadCandlesError(f"the candle of {candle.bar_time} appears twice, with different values")
            continue
        ordered.append(candle)
    return ordered


def flat_candle(before: Candle, bar: int) -> Candle:
    """The synthetic candle that follows `before`: no trade, so the price stays and the volume is 0."""
    close = before.close
    return Candle(before.bar_time + bar, close, close, close, close, 0.0, synthetic=True)


def fill_gaps(candles: Sequence[Candle], bar: int) -> list[Candle]:
    """The run without holes: each missing bar between two candles becomes a flat synthetic one."""
    run: list[Candle] = []
    for candle in candles:
        while run and run[-1].bar_time + bar < candle.bar_time:
            run.append(flat_candle(run[-1], bar))
        run.append(candle)
    return run


def find_gaps(candles: Sequence[Candle], bar: int) -> list[tuple[int, int]]:
    """The missing stretches of a run as (first missing bar, number of bars)."""
    return [
        (before.bar_time + bar, (after.bar_time - before.bar_time) // bar - 1)
        for before, after in pairwise(candles)
        if after.bar_time - before.bar_time > bar
    ]


def is_suspect(before: Candle, candle: Candle) -> bool:
    """Whether a price is more than twice or less than half the close before: too far to be believed unasked."""
    return candle.high > 2 * before.close or candle.low < before.close / 2


def is_confirmed_by(before: Candle, candle: Candle, price: float) -> bool:
    """Whether the candle's close lies within TOLERANCE of `price`, and each other price that is itself suspect."""
    suspect = [mine for mine in candle[1:4] if not before.close / 2 <= mine <= 2 * before.close]
    return all(is_near(mine, price) for mine in (candle.close, *suspect))


def is_near(one: float, other: float) -> bool:
    """Whether `one` lies within TOLERANCE of `other`, as a fraction of that."""
    return abs(one - other) <= TOLERANCE * other
