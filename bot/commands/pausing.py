"""What `pause` and `resume` share."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

from sqlalchemy import select

from bot.clock import utc
from bot.console import add_config, add_json, print_result
from bot.errors import LedgerError, UsageError
from bot.ledger import open_reader, tables
from bot.service import configured_accounts
from bot.settings import Settings


def add_pause_arguments(parser: ArgumentParser) -> None:
    """`--config`, `--json`, `--account`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--account", metavar="NAME", help="only this account (default: all accounts)")


def accounts_meant(parsed_args: Namespace, settings: Settings) -> list[str]:
    """The accounts of the settings and the ledger, or the one that is named.

    Raises UsageError for one that is in neither.
    """
    known = known_accounts(settings)
    if parsed_args.account is None:
        return known
    if parsed_args.account not in known:
        raise UsageError(f"--account {parsed_args.account}: no such account; the accounts are {', '.join(known)}")
    return [parsed_args.account]


def known_accounts(settings: Settings) -> list[str]:
    """The accounts that the settings name, then the ledger's others. A ledger that cannot be read has none."""
    names = configured_accounts(settings)
    try:
        ledger = open_reader(settings.ledger.url)
    except LedgerError:
        return names
    try:
        with ledger.reading() as connection:
            a = tables.accounts.c
            stored = connection.execute(select(a.account).order_by(a.account)).scalars().all()
    finally:
        ledger.close()
    return list(dict.fromkeys([*names, *stored]))


def print_paused(paused: Mapping[str, float], *, as_json: bool) -> None:
    """Who is paused now."""
    if as_json:
        print_result({"paused": dict(paused)}, as_json=True)
    elif paused:
        for account, since in paused.items():
            print(f"account {account} is paused, requested at {utc(since)}")
    else:
        print("no account is paused")
