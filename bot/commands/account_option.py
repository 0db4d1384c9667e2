"""The option `--account NAME` of commands that look at one account."""

from argparse import ArgumentParser, Namespace

from sqlalchemy import Connection

from bot.errors import UsageError
from bot.ledger import read_terms
from bot.settings import Settings


def add_account(parser: ArgumentParser) -> None:
    """`--account NAME`."""
    parser.add_argument("--account", metavar="NAME", help="another account than account.name")


def account_name(connection: Connection, parsed_args: Namespace, settings: Settings) -> str:
    """The account asked for, else that of the settings. Raises UsageError for one that the ledger does not have."""
    if parsed_args.account is None:
        return settings.account.name
    name = str(parsed_args.account)
    if read_terms(connection, name) is None:
        raise UsageError(f"--account {name}: the ledger has no such account")
    return name
