"""`hourhand compare`."""

import sys
from argparse import ArgumentParser, Namespace
from typing import Any, Final

import numpy as np

from bot.clock import utc
from bot.console import add_accounts, add_config, add_json, print_result, print_table, read_settings
from bot.errors import UsageError
from bot.ledger import open_reader
from bot.model import in_sample_warning
from bot.report import account_statistics, align_histories, read_histories

_COLUMNS: Final = {
    "account": "account",
    "log_return": "log return",
    "excess_log_return": "over hold",
    "timing_log_return": "over mix",
    "max_drawdown": "drawdown",
    "exposure": "exposure",
    "trades": "trades",
    "turnover": "turnover",
    "commission": "commission",
    "slippage": "slippage",
    "value": "value",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `compare`."""
    add_config(parser)
    add_json(parser)
    add_accounts(parser)
    parser.epilog = (
        "Over the hours that all accounts decided. Log return is ln(last value / first value); over hold is that\n"
        "less the initial holdings' own; over mix less that of the account's own mean share in coins, held constant\n"
        "free of cost: only what beats that is timing. Drawdown is the deepest fall from a high, exposure the mean\n"
        "share in coins, turnover the value traded in multiples of the account's.\n\n"
        "example: hourhand compare --account main --account shadow-07fc8e0940da1ce8"
    )


def call(parsed_args: Namespace) -> int:
    """Print the accounts beside each other, and holding."""
    settings, _ = read_settings(parsed_args)
    ledger = open_reader(settings.ledger.url)
    with ledger.reading() as connection:
        histories = read_histories(connection, settings.account.name, parsed_args.account)
        aligned = align_histories(connection, histories)
        statistics = [account_statistics(history) for history in aligned]
    ledger.close()
    if not statistics:
        names = ", ".join(history.terms.name for history in histories)
        raise UsageError(f"the accounts {names} have no hours in common: choose some with --account")
    span = {name: statistics[0][name] for name in ("first", "last", "bars")}
    hold = {"log_return": statistics[0]["hold_log_return"], "max_drawdown": statistics[0]["hold_max_drawdown"]}
    in_sample = int(np.any([history.in_sample for history in aligned], axis=0).sum())
    warning = in_sample_warning(in_sample, span["bars"])
    if warning:
        sys.stderr.write(f"{warning}\n")
    if parsed_args.json:
        span["in_sample_bars"] = in_sample
        print_result({**span, "hold": hold, "accounts": statistics}, as_json=True)
        return 0
    print(f"{span['bars']} bars in common, {utc(span['first'])} to {utc(span['last'])}")
    rows = [[*(_cell(row[name]) for name in _COLUMNS), _models(row["models"])] for row in statistics]
    holding = ["holding", *(_cell(hold[name]) if name in hold else None for name in list(_COLUMNS)[1:]), None]
    print_table([*_COLUMNS.values(), "models"], [*rows, holding])
    return 0


def _cell(value: Any) -> Any:
    return round(value, 4 if abs(value) < 100 else 2) if isinstance(value, float) else value


def _models(model_ids: list[str]) -> str:
    more = len(model_ids) - 1
    return model_ids[-1] + (f" and {more} before" if more else "")
