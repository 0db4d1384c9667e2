"""`hourhand backup`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bot.console import add_config, add_json, print_result, read_settings
from bot.ledger import backup


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `backup`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="where to write the copy; must not exist")
    parser.epilog = "example: hourhand backup ledger-$(date +%F).sqlite"


def call(parsed_args: Namespace) -> int:
    """Copy the ledger."""
    settings, _ = read_settings(parsed_args)
    backup(settings.ledger.url, parsed_args.file)
    print_result({"backup": str(parsed_args.file), "bytes": parsed_args.file.stat().st_size}, as_json=parsed_args.json)
    return 0
