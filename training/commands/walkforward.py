"""`hourhand-train walkforward`."""

import argparse
from pathlib import Path

from bot.clock import read_clock, utc
from training import lab
from training.commands.common import read_markets
from training.commands.lab_options import add_lab_arguments, show, task_progress
from training.learner import load_training_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `walkforward`."""
    parser.description = """\
For each year in --folds and each seed, train on everything before the year (minus the embargo) and test on the year.
Rivals run on the same hours: holding, a constant mix, random trading with the same turnover, a rule that is in coins
above the 14-day average, and a ridge regression on the same features. Figures are pooled over folds, seeds and markets
and corrected for the number of trials; the verdict is one sentence. The results are in DIR/lab.json and DIR/lab.html.

Tasks run on Ray, one per core. If it is stopped or killed, the same command continues with the missing tasks."""
    parser.epilog = (
        "example: hourhand-train walkforward --candles coins/*.csv.gz --folds 2019,2020,2021,2022 --seeds 5 --out lab"
    )
    add_lab_arguments(parser)
    parser.add_argument("--folds", required=True, metavar="Y,Y", help="the years to test on, such as 2021,2022")
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="a model of the same settings: also keep the figures in its manifest"
    )


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    settings = load_training_settings(parsed_args.config)
    model = lab.load_trained(parsed_args.model, settings) if parsed_args.model else None
    markets = read_markets(parsed_args)
    folds = lab.folds_of_years(parsed_args.folds, markets, parsed_args.embargo_days)
    ground = lab.ground_of(markets, folds, parsed_args.seeds, parsed_args.runs)
    where = lab.Where(parsed_args.out, parsed_args.address, parsed_args.workers)
    with task_progress() as tell:
        result = lab.run_walkforward(ground, settings, where, utc(read_clock(None).now()), tell)
    if model:
        lab.keep_in_manifest(result, model, parsed_args.model)
    show(result, as_json=parsed_args.json)
    return 0
