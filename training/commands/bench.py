"""`hourhand-train bench`."""

import argparse
import os
from pathlib import Path

from bot.clock import bar_seconds
from bot.console import add_json, print_result
from bot.errors import UsageError
from bot.market import fill_gaps
from training import lab
from training.commands.common import add_span
from training.data import between, read_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bench`."""
    parser.description = (
        "Measure environment steps per second of the trainer (--preset bench), of the article's loop (as published,\n"
        "on a data frame, and with arrays, as here) and of sb3-contrib's RecurrentPPO (with the library's own\n"
        "minibatches of 128, and with 256 environments and a quarter of their steps in each minibatch), in turns on\n"
        "the same cores. Also measures the speed that matrix products alone would allow."
    )
    parser.epilog = "example: hourhand-train bench --candles btcusd_1h.csv --threads 1"
    parser.add_argument("--candles", type=Path, required=True, metavar="FILE", help="CSV, csv.gz, Parquet or JSON")
    add_span(parser)
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="cores to pin everything to (1)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds of each measurement (5)")
    add_json(parser)


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= parsed_args.threads <= len(cores) or parsed_args.rounds < 1:
        raise UsageError(f"--threads must be 1 to {len(cores)} here, --rounds 1 or more")
    os.sched_setaffinity(0, cores[: parsed_args.threads])
    candles, origin = read_file(parsed_args.candles)
    candles = fill_gaps(between(candles, parsed_args.since, parsed_args.until), bar_seconds(origin.timeframe))
    print_result(lab.run_benchmark(candles, parsed_args.threads, parsed_args.rounds), as_json=parsed_args.json)
    return 0
