"""`hourhand status`."""

from argparse import ArgumentParser, Namespace
from typing import Any

from sqlalchemy import Connection, select

from bot.clock import Clock, utc
from bot.commands.account_option import account_name, add_account
from bot.console import add_config, add_json, print_result, read_settings
from bot.ledger import account_summary, is_in_use, open_reader, tables
from bot.observers import allowed_lag
from bot.redact import printable
from bot.settings import Settings


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `status`."""
    add_config(parser)
    add_json(parser)
    add_account(parser)
    parser.epilog = (
        "value is the account's, hold_value the initial holdings' at the same close; excess is the difference.\n"
        "state is running, late (a bar is overdue), stopped, or empty (no bar yet). chain is the newest link of the\n"
        "account's chain: keep it elsewhere, and `hourhand verify --holds LINK` finds out if bars are erased.\n\n"
        "example: hourhand status --json"
    )


def call(parsed_args: Namespace) -> int:
    """Print the account's newest bar, totals and state."""
    settings, clock = read_settings(parsed_args)
    ledger = open_reader(settings.ledger.url)
    try:
        with ledger.reading() as connection:
            account = account_name(connection, parsed_args, settings)
            summaries = {name: account_summary(connection, name) for name in [account, *_names(connection, account)]}
    finally:
        ledger.close()
    in_use = is_in_use(settings.ledger.url)
    accounts = [summary | _state(summary["bar_time"], settings, clock, in_use=in_use) for summary in summaries.values()]
    if parsed_args.json:
        opened = [summary for summary in accounts if summary["market"] is not None]
        print_result(accounts[0] | {"accounts": opened}, as_json=True)
    else:
        _print(accounts, in_use=in_use)
    return 0


def _names(connection: Connection, first: str) -> list[str]:
    """The ledger's other accounts."""
    a = tables.accounts.c
    return list(connection.execute(select(a.account).where(a.account != first).order_by(a.account)).scalars())


def _state(bar_time: int | None, settings: Settings, clock: Clock, *, in_use: bool) -> dict[str, Any]:
    if bar_time is None:
        return {"lag_seconds": None, "state": "empty"}
    lag = clock.now() - bar_time - settings.bar
    if not in_use:
        return {"lag_seconds": lag, "state": "stopped"}
    return {"lag_seconds": lag, "state": "late" if lag > allowed_lag(settings) else "running"}


def _print(accounts: list[dict[str, Any]], *, in_use: bool) -> None:
    summary, others = accounts[0], [other["account"] for other in accounts[1:]]
    if summary["bar_time"] is None:
        next_step = "a daemon is running" if in_use else "`hourhand run` starts it"
        print(f"account {printable(summary['account'])} has not decided a bar yet; {next_step}")
        if others:
            print(printable(f"other accounts: {', '.join(others)}"))
        return
    lines = summary | {
        "bar_time": utc(summary["bar_time"]),
        "stocks_pct": round(summary["stocks_pct"], 2),
        "lag_seconds": round(summary["lag_seconds"]),
    }
    print_result(lines | ({"other_accounts": others} if others else {}), as_json=False)
