"""`hourhand backup`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bot.commands.common import add_config, add_json, read_settings, show
from bot.ledger.store import backup


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `backup`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="a new file")
    parser.epilog = "example: hourhand backup ledger-$(date +%F).sqlite"


def call(options: Namespace) -> int:
    """Copy the ledger."""
    settings, _ = read_settings(options)
    backup(settings.ledger.url, options.file)
    show({"backup": str(options.file), "bytes": options.file.stat().st_size}, as_json=options.json)
    return 0
