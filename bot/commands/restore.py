"""`hourhand restore`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bot.console import add_config, add_json, print_result, read_settings
from bot.ledger import restore


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `restore`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="a file that `hourhand backup` made")
    parser.epilog = (
        "Stop the daemon first. The backup is verified before anything changes. The previous ledger is kept beside\n"
        "the restored one, under a name with the time. Do not copy a backup over a ledger by hand: SQLite would\n"
        "replay the old ledger's -wal file onto it.\n\nexample: hourhand restore ledger-2026-01-31.sqlite"
    )


def call(parsed_args: Namespace) -> int:
    """Put the backup in the place of the configured ledger."""
    settings, _ = read_settings(parsed_args)
    kept = restore(parsed_args.file, settings.ledger.url)
    result = {"restored": str(parsed_args.file), "kept": None if kept is None else str(kept)}
    print_result(result, as_json=parsed_args.json)
    return 0
