"""`hourhand-train evaluate`: a model on candles, beside what needs no skill to get."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.clock import utc
from bot.model import Array, Model, training_span
from bot.report import bars_a_year
from bot.trading import Rules
from training.evaluation.backtest import Runs, Span, counts, hold_values, mix_values, policy_runs, random_runs
from training.evaluation.backtest import turnover as turnover_of
from training.evaluation.course import PARTS, timing_series
from training.evaluation.statistics import difference, summary

RUNS: Final = 16
_RULES: Final = Rules()
BASELINES: Final = ("policy", "hold", "constant_mix", "random")


class Evaluation(NamedTuple):
    """A model's runs on a span and the baselines' values, (n, R) and (n, 1). `in_sample` (n,) says which bars the
    model learned from.
    """

    span: Span
    policy: Runs
    argmax: Runs
    random: Runs
    hold: Array
    mix: Array
    exposure: float
    mode: str
    seed: int
    in_sample: NDArray[np.bool_]


def evaluate_model(
    model: Model,
    span: Span,
    *,
    mode: str = "sample",
    runs: int = RUNS,
    seed: int = 0,
    rules: Rules = _RULES,
    slippage_bps: float = 0.0,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Run the model over the span: `runs` times with the seeds from `seed` on, or once in the mode `argmax`.

    Raises ModelError where its arithmetic overflows.
    """
    argmax = policy_runs(model, span, rules, "argmax", [seed], progress if mode == "argmax" else None, slippage_bps)
    seeds = range(seed, seed + runs)
    policy = argmax if mode == "argmax" else policy_runs(model, span, rules, mode, seeds, progress, slippage_bps)
    exposure = float(policy.shares.mean())
    return Evaluation(
        span,
        policy,
        argmax,
        random_runs(span, rules, policy, seed, slippage_bps),
        hold_values(span, rules),
        mix_values(span, rules, exposure),
        exposure,
        mode,
        seed,
        _in_sample(model, span),
    )


def _in_sample(model: Model, span: Span) -> NDArray[np.bool_]:
    learned = training_span(model.manifest)
    return np.array([learned is not None and learned[0] <= c.bar_time <= learned[1] for c in span.decided])


def evaluation_statistics(done: Evaluation) -> dict[str, Any]:
    """What an evaluation says, in plain numbers.

    `log_return`, `sharpe`, `max_drawdown` as in `statistics.summary`, `excess_log_return` over holding and
    `timing_log_return` over the constant mix as in `difference`; `timing_parts` take the latter apart, as
    `timing_series`. `exposure` is the mean share of the value in coins, `turnover` the value traded over the span in
    multiples of the account's, `cost` commission and slippage in the same multiples (about the log return given away),
    `actions` the bars at which each was done; means of the runs.
    """
    bar = done.span.bar
    year = bars_a_year(bar)
    policy, values = done.policy, done.policy.values
    parts = timing_series(policy, done.span.closes, done.exposure)
    return {
        "mode": done.mode,
        "seed": done.seed,
        "from": utc(done.span.decided[0].bar_time),
        "to": utc(done.span.decided[-1].bar_time + bar),
        "bars": len(values),
        "warmup_bars": done.span.first,
        "runs": values.shape[1],
        "policy": summary(values, year),
        "hold": summary(done.hold, year),
        "constant_mix": summary(done.mix, year),
        "random": summary(done.random.values, year) | _trading(done.random),
        "argmax": summary(done.argmax.values, year) | _trading(done.argmax),
        "excess_log_return": difference(values, done.hold, done.seed),
        "timing_log_return": difference(values, done.mix, done.seed),
        "timing_parts": dict(zip(PARTS, parts.sum(0).mean(1).tolist(), strict=True)),
        **_trading(policy),
        "actions": counts(policy),
    }


def _trading(runs: Runs) -> dict[str, float]:
    cost = float(runs.costs.sum(0).mean())
    return {"exposure": float(runs.shares.mean()), "turnover": turnover_of(runs), "cost": cost}
