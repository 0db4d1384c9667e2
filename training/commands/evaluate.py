"""`hourhand-train evaluate`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from bot.clock import bar_seconds
from bot.console import add_json, print_result, print_table, progress
from bot.errors import UsageError
from bot.model import attach_evaluation, in_sample_bars, in_sample_warning, named_model, save_model
from bot.settings import AccountSettings, load_settings
from bot.trading import rules_of
from training.commands.common import utc_date
from training.data import read_file
from training.evaluation import (
    _BASELINES,
    RUNS,
    WARMUP_BARS,
    evaluate_model,
    evaluation_statistics,
    span_of,
    write_page,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `evaluate`."""
    parser.description = f"""\
Run a model over candles exactly as the daemon would, beside always holding, a constant mix of the same mean exposure
(brought back to it every hour, free of cost) and random trading with the same turnover.

Returns are total natural logarithms over the span. Sharpe ratios are of hourly simple returns, annualised with 8,760
hours, without a risk-free rate. Intervals are of 95 %: over what the hours may bring, by the stationary block
bootstrap, and with several runs over their draws. The account starts with the initial holdings at the first close. Up
to {WARMUP_BARS} candles before --from warm the hidden state up; holes are filled with flat candles, which are not
traded on."""
    parser.epilog = (
        "example: hourhand-train evaluate --model models/current --candles btcusd.parquet --from 2021-01-01 --json"
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="DIR",
        help="a model's folder, a pointer, or a rule such as rule:trend?days=14",
    )
    parser.add_argument("--candles", type=Path, required=True, metavar="FILE", help="CSV, csv.gz, Parquet or JSON")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the daemon's settings, for [account] (default: 10,000 and 1 coin)"
    )
    parser.add_argument("--timeframe", default="", metavar="T", help="where the file does not say (1h)")
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


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    if parsed_args.runs < 1:
        raise UsageError("--runs is 1 or more")
    if parsed_args.seed < 0:
        raise UsageError("--seed is 0 or more")
    if parsed_args.save and parsed_args.save.exists():
        raise UsageError(f"{parsed_args.save} already exists; choose another folder for the model")
    model = named_model(parsed_args.model)
    candles, origin = read_file(parsed_args.candles, parsed_args.timeframe)
    span = span_of(candles, parsed_args.since, parsed_args.until, bar_seconds(origin.timeframe))
    account = load_settings(parsed_args.config).account if parsed_args.config else AccountSettings()
    with progress("evaluating", len(span.decided)) as report:
        done = evaluate_model(
            model,
            span,
            mode=parsed_args.mode,
            runs=parsed_args.runs,
            seed=parsed_args.seed,
            rules=rules_of(account),
            slippage_bps=account.slippage_bps,
            progress=report,
        )
    evaluation = evaluation_statistics(done)
    in_sample = in_sample_bars(model.manifest, [candle.bar_time for candle in span.decided])
    if warning := in_sample_warning(in_sample, len(span.decided)):
        sys.stderr.write(f"{warning}\n")
    result = {"model_id": model.model_id, **evaluation, "in_sample_bars": in_sample}
    if parsed_args.save:
        save_model(attach_evaluation(model, evaluation), parsed_args.save)
    if parsed_args.out:
        write_page(parsed_args.out, done, result)
    if parsed_args.json:
        print_result(result, as_json=True)
    else:
        _show(result)
    return 0


def _show(result: dict[str, Any]) -> None:
    print_table(
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
        covers = " and ".join(result[name]["covers"])
        sys.stdout.write(f"{what}: {result[name]['value']:+.4f} (95 % over {covers}: {low:+.4f} to {high:+.4f})\n")
    parts = ", ".join(f"{name.replace('_', ' ')} {part:+.4f}" for name, part in result["timing_parts"].items())
    sys.stdout.write(f"the latter in parts: {parts}\n")
    actions = ", ".join(f"{count:,.1f} {name}" for name, count in result["actions"].items())
    sys.stdout.write(
        f"exposure {result['exposure']:.1%}, turnover {result['turnover']:,.2f} times the value, "
        f"cost {result['cost']:.4f}; {actions}; runs: {result['runs']}\n"
    )
