"""`hourhand-train refresh`."""

import argparse

from bot.console import add_config, add_json, print_result, read_settings
from training import lab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `refresh`."""
    parser.description = """\
Run one offline round, as set in [refresh]: fetch new candles, train on a rolling window that ends where the held-out
days begin, evaluate the new and the current model on those days, publish the new one, and promote it only if it passes
the gate. The decision and its reasons are printed, and appended to refresh.jsonl in refresh.folder. The daemon is a
separate process and is not disturbed; it switches to a promoted model between two bars."""
    parser.epilog = "example: hourhand-train refresh --config config/bot.toml"
    parser.add_argument("--dry-run", action="store_true", help="only print the decision; publish and promote nothing")
    add_config(parser)
    add_json(parser)


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    settings, clock = read_settings(parsed_args)
    result = lab.run_refresh(settings, clock, config=parsed_args.config, dry_run=parsed_args.dry_run)
    print_result(result, as_json=parsed_args.json)
    return 0
