"""What a task does: train a candidate on what is before its fold, and run it over the fold at every cost."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bot.market import Candle
from bot.model import Model, get_features, named_model, wanted_warmup
from bot.trading import Rules, rules_of
from training.data import Market, stretches, within
from training.environment import WORTH
from training.evaluation import (
    SHARE,
    Course,
    Ridge,
    Span,
    course_of,
    course_summary,
    course_trading,
    fit_ridge,
    planned_runs,
    policy_runs,
    pool,
    random_runs,
    spans_of,
)
from training.lab.plan import POLICY, RIDGE, Task
from training.learner import TrainingSettings, parse
from training.selection import select

RANDOM = "random"


class PackedMarket(NamedTuple):
    """A market as arrays, which processes share without a copy: `candles` (n, 6), bar times first."""

    name: str
    coin: str
    bar: int
    candles: NDArray[np.float64]


class TaskResult(NamedTuple):
    """`courses` are the pools of the markets by `CANDIDATE@BPS`, means of the runs; `markets` what each market says at
    the first cost, `model` what was trained.
    """

    courses: dict[str, Course]
    markets: dict[str, dict[str, float]]
    model: dict[str, Any]


def pack(market: Market) -> PackedMarket:
    """The market as arrays."""
    return PackedMarket(market.name, market.coin, market.bar, np.array([c[:6] for c in market.candles], np.float64))


def unpack(packed: PackedMarket) -> Market:
    """The market again, bit for bit."""
    candles = [Candle(int(row[0]), *row[1:]) for row in packed.candles.tolist()]
    return Market(packed.name, packed.coin, packed.bar, candles)


def train_model(markets: Sequence[Market], settings: TrainingSettings, seed: int) -> Model:
    """The default training on all candles of the markets, in this process, on one thread.

    Raises UsageError where there are too few.
    """
    span = {
        "first_candle": min(market.candles[0].bar_time for market in markets),
        "last_candle": max(market.candles[-1].bar_time for market in markets),
        "seed": seed,
    }
    return select(markets, settings, seed=seed, recipe=span).model


def run_task(packed: Sequence[PackedMarket], task: Task) -> TaskResult:
    """Carry a task out. It depends on its arguments alone, whatever process or machine it is on."""
    markets = [unpack(one) for one in packed]
    settings = parse(dict(task.settings))
    trained_on = within(markets, None, task.fold.trained_until)
    model: Model | Ridge
    if task.candidate == POLICY:
        model = train_model(trained_on, settings, task.seed)
    elif task.candidate == RIDGE:
        runs = [run for market in trained_on for run in stretches(market)]
        model = fit_ridge(get_features(settings.network.features), runs)
    else:
        model = named_model(task.candidate)
    warmup = wanted_warmup(model.policy if isinstance(model, Model) else model)
    spans = spans_of(markets, task.fold.start, task.fold.end, warmup)
    courses, each = {}, {}
    for bps in task.costs_bps:
        found = {name: _tested(model, span, rules_of(settings.account), bps, task) for name, span in spans.items()}
        for name in found[next(iter(found))]:
            courses[f"{name}@{bps:g}"] = pool([one[name] for one in found.values()])
        if bps == task.costs_bps[0]:
            each = {name: _figures(one[task.candidate]) for name, one in found.items()}
    told = (
        {"model_id": model.model_id, "training": json.loads(model.manifest).get("training", {})}
        if isinstance(model, Model)
        else {}
    )
    return TaskResult(courses, each, msgspec.to_builtins(told))


def _tested(model: Model | Ridge, span: Span, rules: Rules, bps: float, task: Task) -> dict[str, Course]:
    """The candidate on one market, and for a trained policy chance with its turnover; means of the runs."""
    rules = rules._replace(commission=bps / 10_000, initial_balance=WORTH).with_share(SHARE, span.closes[0])
    if isinstance(model, Ridge):
        wanted = model.actions(span.candles, rules)[span.first :, None]
        runs = planned_runs(span, rules, np.where([[candle.synthetic] for candle in span.decided], 0, wanted))
    else:
        runs = policy_runs(model, span, rules, "sample", range(task.runs))
    courses = {task.candidate: _mean(course_of(span, runs, rules))}
    if task.candidate == POLICY:
        courses[RANDOM] = _mean(course_of(span, random_runs(span, rules, runs), rules))
    return courses


def _mean(course: Course) -> Course:
    return course._replace(series=course.series.mean(2, keepdims=True))


def _figures(course: Course) -> dict[str, float]:
    alone = pool([course])
    return {
        "bars": len(alone.hours),
        **course_summary(alone),
        "hold_log_return": float(alone.of("hold").sum()),
        "timing_log_return": float(alone.timing.sum()),
        **course_trading(alone),
    }
