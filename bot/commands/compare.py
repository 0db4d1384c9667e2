"""`hourhand compare`."""

import sys
from argparse import ArgumentParser, Namespace
from typing import Any, Final

import numpy as np

from bot.clock import utc
from bot.commands.account_option import add_market, market_name
from bot.console import add_accounts, add_config, add_json, print_result, print_table, read_settings
from bot.errors import UsageError
from bot.ledger import first_bar, reading_from
from bot.model import in_sample_warning
from bot.redact import printable
from bot.report import account_statistics, align_histories, pool_timing, read_histories, read_history
from bot.settings import Settings

EFFECT: Final = 0.05
_COLUMNS: Final = {
    "account": "account",
    "log_return": "log return",
    "excess_log_return": "over hold",
    "timing_log_return": "over mix",
    "max_drawdown": "drawdown",
    "exposure": "exposure",
    "trades": "trades",
    "value": "value",
    "in_sample_bars": "in sample",
    "turnover": "turnover",
    "commission": "commission",
    "slippage": "slippage",
}
_OPTIONAL: Final = ("slippage", "commission", "turnover", "models", "in sample", "value", "trades", "exposure")
"""What a narrow terminal does without, in this order."""


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `compare`."""
    add_config(parser)
    add_json(parser)
    add_accounts(parser)
    add_market(parser)
    parser.add_argument(
        "--pool", action="store_true", help="show the timing over all markets together (of their main accounts)"
    )
    parser.add_argument(
        "--effect", type=float, default=EFFECT, metavar="E", help=f"with --pool: the timing a year to detect ({EFFECT})"
    )
    parser.epilog = (
        "Compares over the hours that all accounts decided. Without --account, an account with so few hours that the\n"
        "others share more than twice as many is left out and named. Log return is ln(last value / first value). Over\n"
        "hold is the log return minus that of the initial holdings. Over mix is the log return minus that of the\n"
        "account's own mean share in coins, held constant free of cost: only what beats that is timing. Drawdown is\n"
        "the deepest fall from a high, exposure the mean share in coins, turnover the traded value in multiples of\n"
        "the account's, in sample the number of bars from which its models learned.\n\n"
        "--pool shows the timing of an equal part in each market, with an interval that resamples the same hours in\n"
        "all of them, and how many years it takes at this pace to detect a timing of E a year (in log return): at\n"
        "95 %, four times in five.\n\n"
        "example: hourhand compare --account main --account shadow-a66c854e159c2245\n"
        "         hourhand compare --pool"
    )


def call(parsed_args: Namespace) -> int:
    """Print the accounts beside each other, and holding."""
    settings, _ = read_settings(parsed_args)
    main = market_name(parsed_args, settings)
    if parsed_args.pool:
        return _pool(parsed_args, settings)
    with reading_from(settings.ledger.url) as connection:
        histories = read_histories(connection, main, parsed_args.account)
        aligned, left_out = align_histories(histories, keep_all=bool(parsed_args.account))
        statistics = [account_statistics(history) for history in aligned]
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
        print_result({**span, "hold": hold, "accounts": statistics, "left_out": left_out}, as_json=True)
        return 0
    print(f"{span['bars']} bars in common, {utc(span['first'])} to {utc(span['last'])}")
    rows = [[*(_cell(row[name]) for name in _COLUMNS), _models(row["models"])] for row in statistics]
    holding = ["holding", *(_cell(hold[name]) if name in hold else None for name in list(_COLUMNS)[1:]), None]
    print_table([*_COLUMNS.values(), "models"], [*rows, holding], optional=_OPTIONAL)
    if left_out:
        accounts = "".join(f" --account {name}" for name in (main, left_out[0]))
        print(printable(f"too few hours in common: {', '.join(left_out)}; see `hourhand compare{accounts}`"))
    others = [market.account.name for market in settings.each_market() if market.account.name != main]
    if others:
        print(f"other markets: {', '.join(others)}; see `--market {others[0]}`, or `--pool` for all together")
    return 0


def _pool(parsed_args: Namespace, settings: Settings) -> int:
    if not 0 < parsed_args.effect < float("inf"):
        raise UsageError(f"compare: --effect {parsed_args.effect}: name a timing a year above 0, for example {EFFECT}")
    with reading_from(settings.ledger.url) as connection:
        names = parsed_args.account or [market.account.name for market in settings.each_market()]
        opened = [name for name in names if parsed_args.account or first_bar(connection, name) is not None]
        if not opened:
            raise UsageError("compare --pool: no market has decided a bar yet: `hourhand run` starts it")
        found = pool_timing([read_history(connection, name) for name in dict.fromkeys(opened)], parsed_args.effect)
    if parsed_args.json:
        print_result(found, as_json=True)
        return 0
    print(f"{found['markets']} markets together, {found['hours']:,} bars ({found['years']:.2f} years)")
    print(f"{utc(found['first'])} to {utc(found['last'])}")
    rows = [[row["account"], row["market"], row["bars"], *_interval(row["timing"])] for row in found["accounts"]]
    rows.append(["all together", None, found["hours"], *_interval(found["pooled"])])
    print_table(["account", "market", "bars", "over mix", "95 % from", "to"], rows, optional=("market",))
    needed, effect = found["years_needed"], found["effect"]
    if needed is None:
        print("nothing varies yet, so there is no saying how long it takes to see an effect")
    else:
        print(f"at this pace it takes {needed:.1f} years to detect a timing of {effect:g} a year")
        print(f"(at 95 %, four times in five): {max(needed - found['years'], 0.0):.1f} to go")
    return 0


def _interval(figures: dict[str, Any]) -> list[float]:
    return [round(number, 4) for number in (figures["value"], *figures["ci95"])]


def _cell(value: Any) -> Any:
    return round(value, 4 if abs(value) < 100 else 2) if isinstance(value, float) else value


def _models(model_ids: list[str]) -> str:
    more = len(model_ids) - 1
    return model_ids[-1] + (f" and {more} before" if more else "")
