"""A policy hour by hour, in one market or in the pool of several: what every figure over markets, folds and seeds is
worked out from.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.clock import utc
from bot.model import Array
from bot.report import align, bars_a_year, log_returns, pooled, total_interval
from bot.trading import Rules
from training.evaluation.backtest import Runs, Span, hold_values, mix_values
from training.evaluation.statistics import summary

PARTS: Final = ("cost", "variance_drag", "selection")
SERIES: Final = ("policy", "hold", "constant_mix", *PARTS, "exposure", "turnover", "paid")


class Course(NamedTuple):
    """`series` (hours, 9, draws) in the order of SERIES, at the bar times `hours` (hours,), of bars of `bar` seconds.

    `policy`, `hold` and `constant_mix` are log returns from the hour before, PARTS what the first is over the third,
    taken apart (see `timing_series`); `exposure` the share of the value in coins after the hour's action; `turnover`
    and `paid` what was traded, and its commission and slippage, as parts of the value.
    """

    bar: int
    hours: NDArray[np.int64]
    series: Array

    def of(self, name: str) -> Array:
        """One of the series, (hours, draws)."""
        one: Array = self.series[:, SERIES.index(name)]
        return one

    @property
    def timing(self) -> Array:
        """Log returns over the constant mix, (hours, draws)."""
        return self.of("policy") - self.of("constant_mix")


def timing_series(runs: Runs, closes: Array, share: float) -> Array:
    """The log returns over the constant mix of `share`, taken apart: PARTS, which add up to them, (n - 1, 3, R).

    With s the share in coins after a bar's action and r the simple return of the next bar, an account grows by
    ln(1 + s r) before costs. `cost` is what the log return is less than that, `selection` (s - share) r, and
    `variance_drag` the rest: ln(1 + s r) - s r less the mix's own.
    """
    returns = (np.diff(closes) / closes[:-1])[:, None]
    earned, mixed = runs.shares[:-1] * returns, share * returns
    growth = np.log1p(earned)
    drag = growth - earned - (np.log1p(mixed) - mixed)
    return np.stack([log_returns(runs.values) - growth, drag, earned - mixed], axis=1)


def timing_gains(span: Span, runs: Runs, rules: Rules) -> Array:
    """Log returns over the constant mix of each run's own mean share, (n - 1, R)."""
    mixes = [log_returns(mix_values(span, rules, float(share))) for share in runs.shares.mean(0)]
    return log_returns(runs.values) - np.concatenate(mixes, axis=1)


def course_of(span: Span, runs: Runs, rules: Rules) -> Course:
    """The course of runs on one market; the first hour has no change, which is NaN."""
    share = float(runs.shares.mean())
    baselines = [log_returns(values) for values in (hold_values(span, rules), mix_values(span, rules, share))]
    mine = log_returns(runs.values)
    growth = [mine, *(np.broadcast_to(changes, mine.shape) for changes in baselines)]
    changes = np.concatenate([np.stack(growth, axis=1), timing_series(runs, span.closes, share)], axis=1)
    changes = np.concatenate([np.full_like(changes[:1], np.nan), changes])
    levels = np.stack([runs.shares, runs.traded, runs.costs], axis=1)
    times = np.array([candle.bar_time for candle in span.decided])
    return Course(span.bar, times, np.concatenate([changes, levels], axis=1))


def pool(courses: Sequence[Course]) -> Course:
    """Courses of several markets, of as many draws each, as one: in each hour the mean of the markets that have it.

    So the pool's log return is the sum over hours of the mean log return of an account in each market, and so are its
    parts. The first hour, which has no change in any market, is 0.
    """
    times, draws = [course.hours for course in courses], courses[0].series.shape[2]
    flat = [course.series.reshape(len(course.hours), -1) for course in courses]
    hours, together = align(times, flat)
    return Course(courses[0].bar, hours, pooled(together).reshape(len(hours), len(SERIES), draws))


def chain_courses(courses: Sequence[Course]) -> Course:
    """Courses of one candidate in spans that follow one another, as one."""
    return Course(
        courses[0].bar,
        np.concatenate([course.hours for course in courses]),
        np.concatenate([course.series for course in courses]),
    )


def stack_draws(courses: Sequence[Course]) -> Course:
    """Courses of the same hours as draws of one: seeds, runs."""
    return courses[0]._replace(series=np.concatenate([course.series for course in courses], axis=2))


def course_summary(course: Course, name: str = "policy") -> dict[str, float]:
    """`log_return`, `sharpe` and `max_drawdown` of an account that grows by the log returns of that name."""
    start = np.ones((1, course.series.shape[2]))
    values = np.concatenate([start, np.exp(np.cumsum(course.of(name), axis=0))])
    return summary(values, bars_a_year(course.bar))


def course_trading(course: Course) -> dict[str, float]:
    """Mean `exposure`, and `turnover` and `cost` over the span in multiples of the value; means of the draws."""
    return {
        "exposure": float(course.of("exposure").mean()),
        "turnover": float(course.of("turnover").sum(0).mean()),
        "cost": float(course.of("paid").sum(0).mean()),
    }


def course_statistics(course: Course, seed: int = 0) -> dict[str, Any]:
    """What a pooled course says, with the names and meanings of `evaluation_statistics`; intervals are over hours and
    draws.
    """
    return {
        "from": utc(int(course.hours[0])),
        "to": utc(int(course.hours[-1]) + course.bar),
        "bars": len(course.hours),
        "runs": course.series.shape[2],
        **{name: course_summary(course, name) for name in ("policy", "hold", "constant_mix")},
        "excess_log_return": total_interval(course.of("policy") - course.of("hold"), seed).figures(),
        "timing_log_return": total_interval(course.timing, seed).figures(),
        "timing_parts": {name: float(course.of(name).sum(0).mean()) for name in PARTS},
        **course_trading(course),
    }
