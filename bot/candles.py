"""What a candle is, when it is closed, and what makes a run of candles whole."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isfinite
from typing import Final, NamedTuple

from bot.errors import UsageError

_UNITS: Final = {"m": 60, "h": 3600, "d": 86400}
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


def bar_seconds(timeframe: str) -> int:
    """Length of a bar in seconds: `1h` is 3600. Minutes, hours and days, as those divide Unix time evenly.

    Raises UsageError for anything else.
    """
    match = re.fullmatch(r"([1-9]\d{0,3})([mhd])", timeframe)
    if match is None:
        raise UsageError(f"exchange.timeframe = {timeframe!r} is not one: write minutes, hours or days, for example 1h")
    return int(match[1]) * _UNITS[match[2]]


def newest_closed(now: float, bar: int) -> int:
    """Open time of the newest bar of `bar` seconds that has closed at `now`."""
    return int(now // bar) * bar - bar


def flaw(candle: Candle, bar: int) -> str | None:
    """What makes a candle impossible on its own, in words, or None."""
    prices = candle[1:5]
    if not all(isfinite(number) for number in candle[1:6]):
        return "has a number that is not finite"
    if min(prices) <= 0:
        return "has a price that is not positive"
    if candle.volume < 0:
        return "has a negative volume"
    if candle.high < max(prices) or candle.low > min(prices):
        return "has its open or close outside of high and low"
    if candle.bar_time % bar or not 0 <= candle.bar_time <= _LAST_TIME:
        return f"does not start at a multiple of {bar} seconds since 1970"
    return None


def checked(candles: Iterable[Candle], bar: int) -> list[Candle]:
    """The candles in order of time, equal duplicates dropped.

    Raises BadCandlesError for a candle with a flaw and for two candles of one bar that differ.
    """
    ordered: list[Candle] = []
    for told in sorted(candles):
        if problem := flaw(told, bar):
            raise BadCandlesError(f"the candle of {told.bar_time} {problem}: {told[1:6]}")
        candle = told._replace(volume=told.volume + 0.0)  # no negative zero, which SQLite does not keep
        if ordered and ordered[-1].bar_time == candle.bar_time:
            if ordered[-1] != candle:
                raise BadCandlesError(f"the candle of {candle.bar_time} is there twice, with different numbers")
            continue
        ordered.append(candle)
    return ordered


def flat(before: Candle, bar: int) -> Candle:
    """The synthetic candle that follows `before`: no trade, so the price stays and the volume is 0."""
    close = before.close
    return Candle(before.bar_time + bar, close, close, close, close, 0.0, synthetic=True)


def whole(candles: Sequence[Candle], bar: int) -> list[Candle]:
    """The run without holes: each missing bar between two candles becomes a flat synthetic one."""
    run: list[Candle] = []
    for candle in candles:
        while run and run[-1].bar_time + bar < candle.bar_time:
            run.append(flat(run[-1], bar))
        run.append(candle)
    return run


def holes(candles: Sequence[Candle], bar: int) -> list[tuple[int, int]]:
    """The missing stretches of a run as (first missing bar, number of bars)."""
    return [
        (before.bar_time + bar, (after.bar_time - before.bar_time) // bar - 1)
        for before, after in pairwise(candles)
        if after.bar_time - before.bar_time > bar
    ]


def is_suspect(before: Candle, candle: Candle) -> bool:
    """Whether a price is more than twice or less than half the close before: too far to be believed unasked."""
    return candle.high > 2 * before.close or candle.low < before.close / 2


def agrees(before: Candle, candle: Candle, price: float) -> bool:
    """Whether the candle's close lies within TOLERANCE of `price`, and each other price that is itself suspect."""
    suspect = [mine for mine in candle[1:4] if not before.close / 2 <= mine <= 2 * before.close]
    return all(is_near(mine, price) for mine in (candle.close, *suspect))


def is_near(one: float, other: float) -> bool:
    """Whether `one` lies within TOLERANCE of `other`, as a fraction of that."""
    return abs(one - other) <= TOLERANCE * other
