"""`hourhand verify`."""

from argparse import ArgumentParser, Namespace
from typing import Final

from bot.commands.common import add_config, add_json, read_settings, show
from bot.commands.tables import progress
from bot.errors import LedgerError
from bot.ledger.store import open_reader
from bot.verify import verify

_SHOWN: Final = 100


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `verify`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--ledger", metavar="URL", help="another ledger than ledger.url")
    parser.epilog = (
        "Derives every observation, probability, action, fill and balance again from the stored candles, models and\n"
        "account, and compares bit for bit, the hash chain included. Ends with 4 where anything differs.\n\n"
        "example: hourhand verify"
    )


def call(options: Namespace) -> int:
    """Verify the ledger; 0 or LedgerError's exit code."""
    settings, _ = read_settings(options)
    ledger = open_reader(options.ledger or settings.ledger.url)
    with progress("verify", None) as tell, ledger.reading() as connection:
        verdict = verify(connection, tell)
    ledger.close()
    told = {"bars": verdict.bars, "differences": len(verdict.differences)}
    if options.json:
        show(told | {"details": verdict.differences[:_SHOWN]}, as_json=True)
    else:
        show(told, as_json=False)
        for difference in verdict.differences[:_SHOWN]:
            print(difference)
    return LedgerError.exit_code if verdict.differences else 0
