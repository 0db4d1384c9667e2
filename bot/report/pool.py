"""The timing of accounts on several markets together, and how long it takes until it could be seen."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from bot.errors import UsageError
from bot.model import Array
from bot.report.history import AccountHistory, account_statistics, mix
from bot.report.intervals import align, pooled_interval, total_interval
from bot.report.statistics import bars_a_year, log_returns

_CONFIDENCE_AND_POWER: Final = 1.959964 + 0.841621
"""Quantiles of the normal distribution for a two-sided test at 95 % that finds an effect four times in five."""


def timing_gains(history: AccountHistory) -> Array:
    """What the account made more than its constant mix in each bar but the first, in log return: (n - 1,)."""
    return log_returns(history.values) - log_returns(mix(history))


def pool_timing(histories: Sequence[AccountHistory], effect: float) -> dict[str, Any]:
    """The timing log return of accounts on several markets: `accounts`, each with its own, and `pooled`, that of an
    equal part in each, with 95 % intervals that resample the same hours in all of them.

    `years` are those covered; `years_needed` how many it takes at this pace, that is with the deviation that the pool
    shows, until a timing of `effect` a year is told from nothing: at 95 %, four times in five. None where nothing
    varies yet.

    Raises UsageError where their bars differ in length, or an account has fewer than two or lost everything.
    """
    if len({history.terms.bar for history in histories}) > 1:
        raise UsageError("compare --pool: the markets' bars differ in length: choose some with --account")
    for history in histories:
        if len(history.bar_times) < 2 or not (history.values > 0).all():
            raise UsageError(f"compare --pool: account {history.terms.name} has too little to pool")
    gains = [timing_gains(history)[:, None] for history in histories]
    hours, together = align([history.bar_times[1:] for history in histories], gains)
    pool = pooled_interval(together)
    years = len(hours) / bars_a_year(histories[0].terms.bar)
    a_year = pool.deviation / np.sqrt(years)
    needed = float((_CONFIDENCE_AND_POWER * a_year / effect) ** 2) if a_year > 0 else None
    rows = [
        account_statistics(history) | {"market": history.terms.market, "timing": total_interval(gain).figures()}
        for history, gain in zip(histories, gains, strict=True)
    ]
    return {
        "first": int(hours[0]),
        "last": int(hours[-1]),
        "hours": len(hours),
        "markets": len({history.terms.market for history in histories}),
        "pooled": pool.figures() | {"a_year": pool.value / years},
        "years": years,
        "effect": effect,
        "years_needed": needed,
        "accounts": rows,
    }
