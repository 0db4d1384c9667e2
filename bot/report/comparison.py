"""Accounts side by side, over the hours that they share."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bot.model import Array
from bot.report.formatting import Html, money, mood, percent, ratio, signed, signed_percent, table, when
from bot.report.history import AccountHistory, account_statistics, mix
from bot.report.intervals import total_interval
from bot.report.statistics import log_returns


def compare_accounts(aligned: Sequence[AccountHistory]) -> dict[str, Any]:
    """Histories over the same hours in numbers: `first`, `last`, `bars`, `in_sample_bars`, `hold`, and `accounts`, each
    with its statistics and `excess_ci95` and `timing_ci95`, 95 % intervals of the log return over holding and the mix.
    """
    rows = []
    for history in aligned:
        excess = _interval(history.values, history.holds)
        timing = _interval(history.values, mix(history))
        rows.append(account_statistics(history) | {"excess_ci95": excess, "timing_ci95": timing})
    span = {name: rows[0][name] for name in ("first", "last", "bars")}
    hold = {name: rows[0][f"hold_{name}"] for name in ("log_return", "sharpe", "max_drawdown")}
    in_sample = int(np.any([history.in_sample for history in aligned], axis=0).sum())
    return span | {"in_sample_bars": in_sample, "hold": hold, "accounts": rows}


def _interval(values: Array, others: Array) -> tuple[float, float] | None:
    """The 95 % interval of how much more log return `values` (n,) made than `others` (n,); None after a ruin."""
    if values.min() <= 0 or others.min() <= 0:
        return None
    found = total_interval((log_returns(values) - log_returns(others))[:, None])
    return found.low, found.high


def comparison_table(found: dict[str, Any]) -> str:
    """What `compare_accounts` found, in HTML."""
    rows = [
        [
            row["account"],
            total_return(row["log_return"]),
            difference(row["excess_log_return"], row["excess_ci95"]),
            difference(row["timing_log_return"], row["timing_ci95"]),
            ratio(row["sharpe"]),
            percent(row["max_drawdown"]),
            percent(row["exposure"]),
            f"{row['trades']:,}",
            money(row["commission"]),
            money(row["value"]),
        ]
        for row in found["accounts"]
    ]
    hold = found["hold"]
    own = [total_return(hold["log_return"]), "", "", ratio(hold["sharpe"]), percent(hold["max_drawdown"])]
    rows.append(["holding", *own, *[""] * 4])
    head = ("account", "return", "over holding", "over the mix", "Sharpe", "drawdown", "in coins", "trades")
    span = f"{when(found['first'])} to {when(found['last'])} UTC, {found['bars']:,} bars"
    return (
        f"<p class='soft'>Over the hours that they share: {span}. Small: the log return, and in brackets its 95 % "
        "interval (block bootstrap over the hours).</p>"
        + table((*head, "commission", "value"), rows, "", "Accounts side by side")
    )


def total_return(log_return: float | None) -> str:
    """A return in percent, in colour, with its logarithm below."""
    if log_return is None:
        return "-"
    return Html(
        f'<span class="{mood(log_return)}">{signed_percent(float(np.expm1(log_return)))}</span>'
        f"<small>{signed(log_return, 3)}</small>"
    )


def difference(value: float | None, between: Sequence[float] | None) -> str:
    """A difference of two log returns in percent, in colour, with its logarithm and interval below."""
    if value is None:
        return "-"
    brackets = "" if between is None else f" [{signed(between[0], 3)}, {signed(between[1], 3)}]"
    return Html(
        f'<span class="{mood(value)}">{signed_percent(float(np.expm1(value)))}</span>'
        f"<small>{signed(value, 3)}{brackets}</small>"
    )
