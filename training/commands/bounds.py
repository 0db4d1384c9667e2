"""`hourhand-train bounds`."""

import argparse
import json
import sys
from pathlib import Path

from bot.console import add_json, print_result, print_table
from training import lab
from training.commands.common import add_hyperparameters, utc_date, whole_number
from training.data import between, read_file
from training.learner import load_training_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bounds`."""
    parser.description = """\
Train with the default settings on synthetic markets with a known answer, and evaluate on the hours after: real hours in
random order, where there is nothing to find; regimes that the volume reveals; slow trends; jumps that are announced a
day earlier. Each market has 45,000 hours, or as many as the file, of which the last 12,000 are held out. Timing and
cost are annual; `found` is the timing as a share of that of an account that knows the answer and trades every hour."""
    parser.epilog = "example: hourhand-train bounds --candles btcusd.parquet --draws 3"
    parser.add_argument("--candles", type=Path, required=True, metavar="FILE", help="the real hours to shuffle")
    parser.add_argument("--draws", type=whole_number(1), default=3, metavar="N", help="markets of each kind (3)")
    parser.add_argument(
        "--threads", type=whole_number(1), default=1, metavar="N", help="networks trained side by side (1)"
    )
    parser.add_argument("--to", dest="until", type=utc_date, metavar="DATE", help="end of the candles (UTC, exclusive)")
    add_hyperparameters(parser)
    add_json(parser)


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    candles, _ = read_file(parsed_args.candles, "1h")
    candles = between(candles, None, parsed_args.until)
    settings = load_training_settings(parsed_args.config)
    columns = ("market", "seed", "evidence", "timing_a_year", "cost_a_year", "exposure", "found")
    rows = []
    for row in lab.measure_bounds(candles, settings, parsed_args.draws, parsed_args.threads):
        rows.append(row)
        sys.stderr.write(f"{len(rows)} of {parsed_args.draws * (1 + len(lab.PLANTED))}: {json.dumps(row)}\n")
    if parsed_args.json:
        print_result({"rows": rows}, as_json=True)
    else:
        print_table(columns, [[row.get(name, "") for name in columns] for row in rows])
    return 0
