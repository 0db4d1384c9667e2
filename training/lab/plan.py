"""What is to be tried: folds of time, settings and seeds, and the tasks that they make."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final, NamedTuple

from bot.errors import UsageError
from training.data import Market, sha256

POLICY: Final = "policy"
RIDGE: Final = "ridge"
RIVALS: Final = ("rule:hold", "rule:mix?share=0.5", "rule:trend?days=14", RIDGE)
DAY: Final = 86_400
COSTS_BPS: Final = (0.0, 7.5, 15.0)


class Fold(NamedTuple):
    """A span that is tested, `start <= bar_time < end`, after training on what is before `trained_until`."""

    name: str
    trained_until: int
    start: int
    end: int


class Task(NamedTuple):
    """One unit of work: a candidate on a fold. `candidate` is POLICY (trained with `settings` and `seed`), RIDGE, or a
    rule's name. `settings` are plain sections of keys as in config/training.toml, complete.
    """

    fold: Fold
    candidate: str
    seed: int
    settings: Mapping[str, Any]
    runs: int
    costs_bps: tuple[float, ...]
    candles_sha256: str

    @property
    def name(self) -> str:
        """What the task's result is filed under: readable, and different for anything that may change the result."""
        content = json.dumps([*self._replace(fold=tuple(self.fold))], sort_keys=True)  # type: ignore[arg-type]
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        return f"{self.fold.name}-{re.sub(r'[^A-Za-z0-9.]+', '-', self.candidate)}-{self.seed}-{digest}"


def candles_digest(markets: Sequence[Market]) -> str:
    """SHA-256 over the markets' names and candles."""
    content = json.dumps([[market.name, market.coin, market.bar, sha256(market.candles)] for market in markets])
    return hashlib.sha256(content.encode()).hexdigest()


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Twelve hex digits over settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def folds_of_years(text: str, markets: Sequence[Market], embargo_days: int) -> list[Fold]:
    """A fold for each year of a text such as `2019,2020`, in order of time: trained on what is before the year less the
    embargo, tested on the year.

    Raises UsageError where the text is no list of years, or a year has no candles, or none before it.
    """
    if not re.fullmatch(r"\d{4}(,\d{4})*", text):
        raise UsageError(f"--folds is a list of years such as 2019,2020, not {text!r}")
    years = sorted({int(year) for year in text.split(",")})
    return [
        checked_fold(
            Fold(str(year), _new_year(year) - embargo_days * DAY, _new_year(year), _new_year(year + 1)), markets
        )
        for year in years
    ]


def inner_folds(markets: Sequence[Market], count: int, embargo_days: int) -> list[Fold]:
    """`count` folds inside of the candles: the second half of their span in equal parts, each tested after training on
    everything before it less the embargo.
    """
    first = min(market.candles[0].bar_time for market in markets)
    bar = markets[0].bar
    last = max(market.candles[-1].bar_time for market in markets) + bar
    edges = [first + (last - first) * (count + place) // (2 * count) // bar * bar for place in range(count)] + [last]
    return [
        checked_fold(Fold(f"part{n + 1}", start - embargo_days * DAY, start, end), markets)
        for n, (start, end) in enumerate(pairwise(edges))
    ]


def checked_fold(fold: Fold, markets: Sequence[Market]) -> Fold:
    """The fold. Raises UsageError where no market has candles to train on and candles to be tested on."""
    if not any(market.candles[0].bar_time < fold.trained_until for market in markets):
        raise UsageError(f"there are no candles before fold {fold.name} to train on")
    tested = [market for market in markets if _bars_in(market, fold) >= 2]
    if not tested:
        raise UsageError(f"there are no candles in fold {fold.name}")
    return fold


def _bars_in(market: Market, fold: Fold) -> int:
    return sum(fold.start <= candle.bar_time < fold.end for candle in market.candles)


def _new_year(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
