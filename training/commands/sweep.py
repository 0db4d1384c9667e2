"""`hourhand-train sweep`."""

import argparse
from pathlib import Path

from bot.clock import read_clock, utc
from training import lab
from training.commands.common import add_span, read_markets, whole_number
from training.commands.lab_options import add_lab_arguments, show, task_progress
from training.data import within
from training.lab import METHODS
from training.learner import load_training_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sweep`."""
    parser.description = """\
Try settings from a space: a TOML file with the sections and keys of config/training.toml, each with a list of choices
or a range such as {low = 0.001, high = 0.1, log = true}. Each setting is judged by a walk-forward within the candles up
to --to: their second half is split into parts, each tested after training on the candles before it, minus the embargo.
The best setting is written to DIR/best.toml, and its verdict is corrected for the number of trials. Candles from --to
on remain for a test.

Tasks run on Ray, one per core. If it is stopped or killed, the same command continues with the missing tasks."""
    parser.epilog = "example: hourhand-train sweep --space space.toml --candles btcusd.csv --to 2021-01-01 --out sweep"
    add_lab_arguments(parser)
    parser.add_argument("--space", type=Path, required=True, metavar="FILE", help="the choices, in TOML")
    parser.add_argument("--method", choices=METHODS, default="grid", help="how settings are chosen (grid)")
    parser.add_argument(
        "--trials", type=whole_number(1), default=20, metavar="N", help="settings to try with random or optuna (20)"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="seed of random and optuna (0)")
    parser.add_argument("--parts", type=whole_number(1), default=3, metavar="N", help="parts to test on (3)")
    add_span(parser)


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    settings = load_training_settings(parsed_args.config)
    search = lab.Search(lab.read_space(parsed_args.space), parsed_args.method, parsed_args.trials, parsed_args.seed)
    markets = within(read_markets(parsed_args), parsed_args.since, parsed_args.until)
    folds = lab.inner_folds(markets, parsed_args.parts, parsed_args.embargo_days)
    ground = lab.ground_of(markets, folds, parsed_args.seeds, parsed_args.runs)
    where = lab.Where(parsed_args.out, parsed_args.address, parsed_args.workers)
    with task_progress() as tell:
        result = lab.run_sweep(ground, settings, search, where, utc(read_clock(None).now()), tell)
    show(result, as_json=parsed_args.json)
    return 0
