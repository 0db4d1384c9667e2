"""`hourhand-train evaluate`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bot.console import add_json, print_result, print_table, progress
from bot.errors import UsageError
from bot.model import (
    Array,
    Model,
    attach_evaluation,
    in_sample_bars,
    in_sample_warning,
    named_model,
    save_model,
    wanted_warmup,
)
from bot.report import bars_a_year
from bot.settings import AccountSettings, load_settings
from bot.trading import Rules, rules_of
from training.commands.common import add_candles, add_span, read_markets, whole_number
from training.data import Market
from training.evaluation import (
    BASELINES,
    RUNS,
    SHARE,
    Checks,
    Evaluation,
    Span,
    course_of,
    evaluate_model,
    evaluation_statistics,
    markets_statistics,
    pool,
    spans_of,
    timing_evidence,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `evaluate`."""
    parser.description = """\
Run a model over candles exactly as the daemon would, and compare it with holding, with a constant mix of the same mean
exposure (rebalanced every hour, free of cost) and with random trading of the same turnover.

Returns are total natural logarithms over the span. Sharpe ratios are of hourly simple returns, annualised with 8,760
hours, without a risk-free rate. 95 % intervals cover the market, by the stationary block bootstrap, and with several
runs also their draws. The account starts with the initial holdings at the first close; several markets start with
10,000 each, half of it in coins. The candles before --from warm the model up, as many as it wants (500, or 2,160 with
slow features). Gaps are filled with flat candles, which are not traded on."""
    parser.epilog = (
        "example: hourhand-train evaluate --model models/current --candles btcusd.parquet --from 2021-01-01 --json"
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="DIR",
        help="a model's folder, a pointer, or a rule such as rule:trend?days=14",
    )
    add_candles(parser)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the daemon's settings, for [account] (default: 10,000 and 1 coin)"
    )
    parser.add_argument("--timeframe", default="", metavar="T", help="if the file does not say (1h)")
    add_span(parser)
    parser.add_argument(
        "--mode", choices=("sample", "argmax"), default="sample", help="how actions are chosen (sample)"
    )
    parser.add_argument("--runs", type=whole_number(1), default=RUNS, metavar="N", help=f"runs of `sample` ({RUNS})")
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="seed of the first run (0)")
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="also write a page with charts")
    parser.add_argument(
        "--save", type=Path, metavar="DIR", help="write the model, with these figures in its manifest, to a new folder"
    )
    add_json(parser)


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    if parsed_args.save and parsed_args.save.exists():
        raise UsageError(f"{parsed_args.save} already exists; choose another folder for the model")
    model = named_model(parsed_args.model)
    markets = read_markets(parsed_args)
    several = len(markets) > 1 or len(parsed_args.candles) > 1
    if several and parsed_args.out:
        raise UsageError("--out shows one market: give one file of candles, or leave it out")
    evaluations = _evaluate(parsed_args, model, markets, several=several)
    evaluation, verdict = (_several if several else _one)(model, evaluations)
    result = {"model_id": model.model_id, **evaluation, **verdict}
    if parsed_args.save:
        kept = {**evaluation, "verdict": verdict["verdict"]}
        save_model(attach_evaluation(model, kept), parsed_args.save)
    if parsed_args.out:
        from training.evaluation import write_page  # noqa: PLC0415 - draws, which is slow to load

        write_page(parsed_args.out, next(iter(evaluations.values()))[0], result)
    if parsed_args.json:
        print_result(result, as_json=True)
    else:
        _show(result)
    return 0


def _evaluate(
    parsed_args: argparse.Namespace, model: Model, markets: Sequence[Market], *, several: bool
) -> dict[str, tuple[Evaluation, Rules]]:
    """The evaluation of each market that has candles from --from to --to, and the rules it was made with."""
    spans = spans_of(markets, parsed_args.since, parsed_args.until, wanted_warmup(model.policy))
    account = load_settings(parsed_args.config).account if parsed_args.config else AccountSettings()
    share = account.initial_share if parsed_args.config else SHARE if several else None
    evaluations = {}
    with progress("evaluating", sum(len(span.decided) for span in spans.values())) as report:
        done = 0
        for name, span in spans.items():

            def reached(bars: int, before: int = done) -> None:
                report(before + bars)

            rules = rules_of(account)
            if share is not None:
                rules = rules.with_share(share, span.closes[0])
            evaluations[name] = (
                evaluate_model(
                    model,
                    span,
                    mode=parsed_args.mode,
                    runs=parsed_args.runs,
                    seed=parsed_args.seed,
                    rules=rules,
                    slippage_bps=account.slippage_bps,
                    progress=reached,
                ),
                rules,
            )
            done += len(span.decided)
    return evaluations


def _one(model: Model, evaluations: dict[str, tuple[Evaluation, Rules]]) -> tuple[dict[str, Any], dict[str, Any]]:
    ((done, rules),) = evaluations.values()
    course = course_of(done.span, done.policy, rules)
    return evaluation_statistics(done), _judged(model, [done.span], course.timing[1:], done.seed)


def _several(model: Model, evaluations: dict[str, tuple[Evaluation, Rules]]) -> tuple[dict[str, Any], dict[str, Any]]:
    each = list(evaluations.values())
    course = pool([course_of(done.span, done.policy, rules) for done, rules in each])
    return markets_statistics(evaluations), _judged(
        model, [done.span for done, _ in each], course.timing, each[0][0].seed
    )


def _judged(model: Model, spans: Sequence[Span], timing: Array, seed: int) -> dict[str, Any]:
    """How many of the bars the model learned from, and the verdict on its timing (hours, runs)."""
    times = [candle.bar_time for span in spans for candle in span.decided]
    in_sample = in_sample_bars(model.manifest, times)
    if warning := in_sample_warning(in_sample, len(times)):
        sys.stderr.write(f"{warning}\n")
    year, checks = bars_a_year(spans[0].bar), Checks(in_sample_bars=in_sample)
    evidence = timing_evidence(timing[:, None], 1, checks, bars_a_year=year, seed=seed)
    return {"in_sample_bars": in_sample, "verdict": evidence.sentence}


def _show(result: dict[str, Any]) -> None:
    if "pooled" in result:
        _show_markets(result["markets"])
        result = {**result, **result["pooled"]}
    _show_one(result)
    sys.stdout.write(f"{result['verdict']}\n")


def _show_markets(markets: dict[str, dict[str, Any]]) -> None:
    columns = ["", "bars", "log return", "holding", "over the mix", "95 %", "drawdown", "exposure", "turnover", "cost"]
    rows = []
    for name, one in markets.items():
        timing = one["timing_log_return"]
        numbers = (one["policy"]["log_return"], one["hold"]["log_return"], timing["value"])
        low, high = timing["ci95"]
        rest = (one["policy"]["max_drawdown"], one["exposure"], one["turnover"], one["cost"])
        shown = [*(round(x, 4) for x in numbers), f"{low:+.3f} to {high:+.3f}", *(round(x, 4) for x in rest)]
        rows.append([name, one["bars"], *shown])
    print_table(columns, rows)
    sys.stdout.write("\nthe pool of them, an equal part in each:\n")


def _show_one(result: dict[str, Any]) -> None:
    print_table(
        ["", "log return", "Sharpe, a year", "largest drawdown"],
        [
            (name.replace("_", " "), *(round(result[name][key], 4) for key in ("log_return", "sharpe", "max_drawdown")))
            for name in (*BASELINES, "argmax")
        ],
        f"model {result['model_id']}, {result['from']} to {result['to']}",
    )
    sys.stdout.write("\n")
    for name, what in (("excess_log_return", "over holding"), ("timing_log_return", "over the constant mix")):
        low, high = result[name]["ci95"]
        covers = " and ".join(result[name]["covers"])
        sys.stdout.write(f"{what}: {result[name]['value']:+.4f} (95 % over {covers}: {low:+.4f} to {high:+.4f})\n")
    parts = ", ".join(f"{name.replace('_', ' ')} {part:+.4f}" for name, part in result["timing_parts"].items())
    sys.stdout.write(f"the latter in parts: {parts}\n")
    actions = ", ".join(f"{count:,.1f} {name}" for name, count in result["actions"].items())
    sys.stdout.write(
        f"exposure {result['exposure']:.1%}, turnover {result['turnover']:,.2f} times the value, "
        f"cost {result['cost']:.4f}; {actions}; runs: {result['runs']}\n"
    )
