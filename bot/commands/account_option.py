"""The option `--account NAME` of commands that look at one account."""

from argparse import ArgumentParser, Namespace

from sqlalchemy import Connection

from bot.errors import UsageError
from bot.ledger import read_terms
from bot.settings import Settings


def add_account(parser: ArgumentParser) -> None:
    """`--account NAME`."""
    parser.add_argument("--account", metavar="NAME", help="this account instead of account.name")


def account_name(connection: Connection, parsed_args: Namespace, settings: Settings) -> str:
    """The account asked for, else that of the settings. Raises UsageError for one that the ledger does not have."""
    if parsed_args.account is None:
        return settings.account.name
    name = str(parsed_args.account)
    if read_terms(connection, name) is None:
        raise UsageError(f"--account {name}: the ledger has no such account")
    return name


def add_market(parser: ArgumentParser) -> None:
    """`--market NAME`."""
    parser.add_argument("--market", metavar="NAME", help="the market of this main account (default: the first)")


def market_name(parsed_args: Namespace, settings: Settings) -> str:
    """The name of the market asked for, which the settings may no longer have, else that of the first."""
    return settings.account.name if parsed_args.market is None else str(parsed_args.market)


def market_settings(parsed_args: Namespace, settings: Settings) -> Settings:
    """The settings of the market asked for, else of the first, as if it were the only one. Raises UsageError for one
    that the settings do not have.
    """
    name = market_name(parsed_args, settings)
    found = {market.account.name: market for market in settings.each_market()}
    if name not in found:
        raise UsageError(f"--market {name}: the settings have {', '.join(found)}")
    return found[name]
