"""`hourhand-train evaluate`: a model on candles, beside what needs no skill to get."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from bot.account import Rules
from bot.candles import bar_seconds
from bot.checkpoint import Model, load, save, with_evaluation
from bot.clock import utc
from bot.commands.common import add_json, show
from bot.commands.tables import progress, show_table
from bot.errors import UsageError
from bot.features import Array
from bot.registry import resolve
from training.backtest import (
    WARMUP_BARS,
    Runs,
    Span,
    counts,
    hold_values,
    mix_values,
    policy_runs,
    random_runs,
    span_of,
)
from training.backtest import turnover as turnover_of
from training.candles import read_file, utc_date
from training.page import write_page
from training.statistics import HOURS_A_YEAR, difference, summary

RUNS: Final = 16
_RULES: Final = Rules()
_BASELINES: Final = ("policy", "hold", "constant_mix", "random")


class Evaluation(NamedTuple):
    """A model's runs on a span and the baselines' values, (n, R) and (n, 1)."""

    span: Span
    policy: Runs
    argmax: Runs
    random: Runs
    hold: Array
    mix: Array
    exposure: float
    mode: str
    seed: int


def evaluated(
    model: Model,
    span: Span,
    *,
    mode: str = "sample",
    runs: int = RUNS,
    seed: int = 0,
    rules: Rules = _RULES,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Run the model over the span: `runs` times with the seeds from `seed` on, or once in the mode `argmax`.

    Raises ModelError where its arithmetic overflows.
    """
    argmax = policy_runs(model, span, rules, "argmax", [seed], progress if mode == "argmax" else None)
    policy = argmax if mode == "argmax" else policy_runs(model, span, rules, mode, range(seed, seed + runs), progress)
    exposure = float(policy.shares.mean())
    return Evaluation(
        span,
        policy,
        argmax,
        random_runs(span, rules, policy, seed),
        hold_values(span, rules),
        mix_values(span, rules, exposure),
        exposure,
        mode,
        seed,
    )


def figures(done: Evaluation) -> dict[str, Any]:
    """What an evaluation says, in plain numbers.

    `log_return`, `sharpe`, `max_drawdown` as in `training.statistics.summary`, `excess_log_return` over holding and
    `timing_log_return` over the constant mix as in `difference`. `exposure` is the mean share of the value in coins,
    `turnover` the value traded over the span in multiples of the account's, `cost` the commission in the same
    multiples (about the log return given away), `actions` the bars at which each was done; means of the runs.
    """
    bar = done.span.bar
    year = HOURS_A_YEAR * 3600 / bar
    policy, values = done.policy, done.policy.values
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
        **_trading(policy),
        "actions": counts(policy),
    }


def _trading(runs: Runs) -> dict[str, float]:
    cost = float(runs.costs.sum(0).mean())
    return {"exposure": float(runs.shares.mean()), "turnover": turnover_of(runs), "cost": cost}


def evaluation_summary(
    model: Model, span: Span, *, mode: str = "sample", runs: int = RUNS, seed: int = 0, rules: Rules = _RULES
) -> dict[str, Any]:
    """The figures of `evaluate` for a manifest or a comparison. Raises ModelError as `evaluated`."""
    return figures(evaluated(model, span, mode=mode, runs=runs, seed=seed, rules=rules))


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Arguments of `evaluate`."""
    parser.description = f"""\
Run a model over candles exactly as the daemon would, beside always holding, a constant mix of the same mean exposure
(brought back to it every hour, free of cost) and random trading with the same turnover.

Returns are total natural logarithms over the span. Sharpe ratios are of hourly simple returns, annualised with 8,760
hours, without a risk-free rate. Intervals are of 95 %, by the stationary block bootstrap. The account starts with the
initial holdings at the first close. Up to {WARMUP_BARS} candles before --from warm the hidden state up; holes are
filled with flat candles, which are not traded on."""
    parser.epilog = (
        "example: hourhand-train evaluate --model models/current --candles btcusd.parquet --from 2021-01-01 --json"
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="a model's folder, or a pointer to one"
    )
    parser.add_argument("--candles", type=Path, required=True, metavar="FILE", help="CSV, csv.gz, Parquet or JSON")
    parser.add_argument("--timeframe", default="", metavar="T", help="where the file does not tell (1h)")
    parser.add_argument("--from", type=utc_date, dest="since", metavar="DATE", help="first bar decided, UTC")
    parser.add_argument("--to", type=utc_date, dest="until", metavar="DATE", help="bar after the last, UTC")
    parser.add_argument(
        "--mode", choices=("sample", "argmax"), default="sample", help="how actions are chosen (sample)"
    )
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help=f"runs of `sample` ({RUNS})")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the first run (0)")
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="write a page with the charts as well")
    parser.add_argument(
        "--save", type=Path, metavar="DIR", help="write the model, with these figures in its manifest, to a new folder"
    )
    add_json(parser)
    parser.set_defaults(run=_evaluate_command)


def _evaluate_command(arguments: argparse.Namespace) -> int:
    if arguments.runs < 1:
        raise UsageError("--runs is 1 or more")
    if arguments.seed < 0:
        raise UsageError("--seed is 0 or more")
    if arguments.save and arguments.save.exists():
        raise UsageError(f"{arguments.save} is there already; choose another folder for the model")
    model = load(resolve(arguments.model))
    candles, origin = read_file(arguments.candles, arguments.timeframe)
    span = span_of(candles, arguments.since, arguments.until, bar_seconds(origin.timeframe))
    with progress("evaluating", len(span.decided)) as tell:
        done = evaluated(model, span, mode=arguments.mode, runs=arguments.runs, seed=arguments.seed, progress=tell)
    told = figures(done)
    result = {"model_id": model.model_id, **told}
    if arguments.save:
        save(with_evaluation(model, told), arguments.save)
    if arguments.out:
        write_page(arguments.out, done, result)
    if arguments.json:
        show(result, as_json=True)
    else:
        _show(result)
    return 0


def _show(result: dict[str, Any]) -> None:
    show_table(
        ["", "log return", "Sharpe, a year", "largest drawdown"],
        [
            (name.replace("_", " "), *(round(result[name][key], 4) for key in ("log_return", "sharpe", "max_drawdown")))
            for name in (*_BASELINES, "argmax")
        ],
        f"model {result['model_id']}, {result['from']} to {result['to']}",
    )
    sys.stdout.write("\n")
    for name, what in (("excess_log_return", "over holding"), ("timing_log_return", "over the constant mix")):
        low, high = result[name]["ci95"]
        sys.stdout.write(f"{what}: {result[name]['value']:+.4f} (95 %: {low:+.4f} to {high:+.4f})\n")
    actions = ", ".join(f"{count:,.1f} {name}" for name, count in result["actions"].items())
    sys.stdout.write(
        f"exposure {result['exposure']:.1%}, turnover {result['turnover']:,.2f} times the value, "
        f"cost {result['cost']:.4f}; {actions}; runs: {result['runs']}\n"
    )
