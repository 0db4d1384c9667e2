"""`hourhand-train refresh`."""

import argparse

from bot.console import add_config, add_json, print_result, read_settings
from training import lab


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `refresh`."""
    parser.description = """\
One offline round, as [refresh] of the settings says: fetch the candles that are new, train on a rolling window that
ends where the held-out stretch begins, evaluate the new model and the current one on that stretch, publish the new one,
and promote it only if it passes the gate. What was decided, and why, is printed and added to refresh.jsonl in
refresh.folder. The daemon is another process and is not disturbed; it loads a promoted model between two bars."""
    parser.epilog = "example: hourhand-train refresh --config config/bot.toml"
    parser.add_argument("--dry-run", action="store_true", help="publish and promote nothing, say what the gate says")
    add_config(parser)
    add_json(parser)


def call(parsed_args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    settings, clock = read_settings(parsed_args)
    result = lab.run_refresh(settings, clock, config=parsed_args.config, dry_run=parsed_args.dry_run)
    print_result(result, as_json=parsed_args.json)
    return 0
