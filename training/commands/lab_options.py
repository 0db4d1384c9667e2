"""What `walkforward` and `sweep` share."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bot.console import add_json, print_result, print_table, progress
from training.commands.common import add_candles, add_hyperparameters, whole_number
from training.evaluation import PARTS

EMBARGO_DAYS: Final = 14
RUNS: Final = 4


def add_lab_arguments(parser: argparse.ArgumentParser) -> None:
    """Candles, seeds, folder, settings, and where tasks run."""
    add_candles(parser)
    parser.add_argument("--timeframe", default="", metavar="T", help="if the files do not say (1h)")
    parser.add_argument(
        "--seeds", type=whole_number(1), default=5, metavar="N", help="trainings of each setting in each fold (5)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the results; the same command continues there"
    )
    add_hyperparameters(parser)
    parser.add_argument(
        "--runs", type=whole_number(1), default=RUNS, metavar="N", help=f"runs of each trained model ({RUNS})"
    )
    parser.add_argument(
        "--embargo-days", type=whole_number(0), default=EMBARGO_DAYS, metavar="D",
        help=f"left out between training and test ({EMBARGO_DAYS})",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=whole_number(0), default=0, metavar="N", help="tasks at once on this machine (one per core)"
    )
    parser.add_argument("--address", default="", metavar="A", help="a Ray cluster: HOST:PORT, or auto")
    add_json(parser)


@contextmanager
def task_progress() -> Iterator[Callable[[int, int], None]]:
    """Tasks done of all, with the time left: a bar on a terminal, a line for each elsewhere."""
    began, first = time.monotonic(), -1
    with progress("tasks", None) as update:

        def tell(done: int, total: int) -> None:
            nonlocal first
            first = done if first < 0 else first
            update(done, total)
            if not sys.stderr.isatty():
                pace = (time.monotonic() - began) / max(done - first, 1)
                left = f", about {pace * (total - done) / 60:,.0f} min left" if done > first else ""
                sys.stderr.write(f"{done} of {total} tasks{left}\n")

        yield tell


def show(result: dict[str, Any], *, as_json: bool) -> None:
    """Print a result: one JSON object, or the candidates, the costs and the verdict for people."""
    if as_json:
        print_result({name: part for name, part in result.items() if name != "curves"}, as_json=True)
        return
    columns = ["", "log return", "Sharpe", "drawdown", "exposure", "turnover", "timing", "95 %", *PARTS]
    rows = []
    for name, one in result["candidates"].items():
        low, high = one["timing_log_return"]["ci95"]
        numbers = [*one["policy"].values(), one["exposure"], one["turnover"], one["timing_log_return"]["value"]]
        parts = [round(part, 4) for part in one["timing_parts"].values()]
        rows.append([name, *(round(number, 4) for number in numbers), f"{low:+.3f} to {high:+.3f}", *parts])
    span = f"{result['pooled']['from'][:10]} to {result['pooled']['to'][:10]}"
    count = len(result["markets"])
    title = f"{count} market{'s' * (count != 1)}, {len(result['folds'])} folds, {result['seeds']} seeds, {span}"
    print_table([column.replace("_", " ") for column in columns], rows, title)
    costs = (f"{bps} bps: {table['policy']['timing']['value']:+.3f}" for bps, table in result["costs"].items())
    sys.stdout.write(f"\ntiming at a cost of {', '.join(costs)}\n")
    figures = {name: result[name] for name in ("trials", "pbo", "deflated_sharpe", "spa_p_value", "page")}
    print_result(figures, as_json=False)
    sys.stdout.write(f"{result['verdict']}\n")
