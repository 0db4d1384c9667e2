"""`hourhand status`."""

from argparse import ArgumentParser, Namespace
from typing import Any

from bot.clock import utc
from bot.commands.account_option import account_name, add_account
from bot.console import add_config, add_json, print_result, print_table, read_settings
from bot.ledger import is_in_use, reading_from
from bot.observers import account_statuses
from bot.redact import printable


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `status`."""
    add_config(parser)
    add_json(parser)
    add_account(parser)
    parser.epilog = (
        "value is the account's value, hold_value that of the initial holdings at the same close, excess the\n"
        "difference. state is running, late (a bar is overdue), stopped, or empty (no bar yet). chain is the newest\n"
        "link of the account's chain: keep it elsewhere, and `hourhand verify --holds LINK` detects erased bars.\n\n"
        "example: hourhand status --json"
    )


def call(parsed_args: Namespace) -> int:
    """Print the account's newest bar, totals and state."""
    settings, clock = read_settings(parsed_args)
    with reading_from(settings.ledger.url) as connection:
        in_use = is_in_use(settings.ledger.url)
        first = account_name(connection, parsed_args, settings)
        accounts = account_statuses(connection, settings, clock.now(), in_use=in_use, first=first)
    if parsed_args.json:
        opened = [summary for summary in accounts if summary["market"] is not None]
        print_result(accounts[0] | {"accounts": opened}, as_json=True)
    else:
        _print(accounts, in_use=in_use)
    return 0


def _print(accounts: list[dict[str, Any]], *, in_use: bool) -> None:
    summary, others = accounts[0], [other["account"] for other in accounts[1:]]
    if summary["bar_time"] is None:
        next_step = "a daemon is running" if in_use else "`hourhand run` starts it"
        print(printable(f"account {summary['account']} has not decided a bar yet; {next_step}"))
        if others:
            print(printable(f"other accounts: {', '.join(others)}"))
        return
    lines = summary | {
        "bar_time": utc(summary["bar_time"]),
        "stocks_pct": round(summary["stocks_pct"], 2),
        "lag_seconds": round(summary["lag_seconds"]),
    }
    print_result(lines | ({"other_accounts": others} if others else {}), as_json=False)
    if len({other["market"] for other in accounts}) > 1:
        columns = ("account", "market", "newest bar", "value", "excess", "trades", "state")
        print_table(columns, [_row(one) for one in accounts], optional=("trades", "market"))


def _row(one: dict[str, Any]) -> list[Any]:
    newest = None if one["bar_time"] is None else utc(one["bar_time"])
    return [one["account"], one["market"], newest, one["value"], one["excess"], one["trades"], one["state"]]
