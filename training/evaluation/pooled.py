"""A model on several markets: each as for one, and their pool."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from bot.trading import Rules
from training.evaluation.backtest import Runs, counts
from training.evaluation.course import Course, course_of, course_statistics, course_summary, course_trading, pool
from training.evaluation.evaluate import Evaluation, evaluation_statistics

SHARE: Final = 0.5
"""In coins at the start, where there are several markets: what a coin costs then means nothing."""


def markets_statistics(evaluations: Mapping[str, tuple[Evaluation, Rules]]) -> dict[str, Any]:
    """`markets`, the statistics of each as of one, and `pooled`, those of an equal part in each: in every hour the mean
    of the markets that have it, with intervals that resample the same hours in all markets together;
    `actions` are those of all markets.

    The pool's baselines are pools of the markets' own: each market's constant mix has the policy's mean share there.
    """
    each = list(evaluations.values())

    def pool_of(runs_of: Callable[[Evaluation], Runs]) -> Course:
        return pool([course_of(done.span, runs_of(done), rules) for done, rules in each])

    first = each[0][0]
    actions = [counts(done.policy) for done, _ in each]
    others = {"random": pool_of(lambda done: done.random), "argmax": pool_of(lambda done: done.argmax)}
    return {
        "markets": {name: evaluation_statistics(done) for name, (done, _) in evaluations.items()},
        "pooled": {
            "mode": first.mode,
            "seed": first.seed,
            **course_statistics(pool_of(lambda done: done.policy), first.seed),
            **{name: course_summary(course) | course_trading(course) for name, course in others.items()},
            "actions": {name: sum(done[name] for done in actions) for name in actions[0]},
        },
    }
