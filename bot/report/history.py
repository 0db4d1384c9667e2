"""What an account did bar by bar, as arrays, and the statistics of it: one definition for page, table and API."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bot.clock import END_OF_TIME
from bot.errors import UsageError
from bot.ledger import accounts, tables
from bot.model import Array
from bot.report.records import AccountRecord, cut_record, read_record
from bot.report.statistics import bars_a_year, drawdowns, log_return, sharpe
from bot.report.trades import trades
from bot.trading import MINIMUM, POLICY, SYNTHETIC, AccountTerms, Fill

_TINY = float(np.finfo(float).tiny)


class AccountHistory(NamedTuple):
    """One account over n consecutive bars, oldest first; every array (n,), money in quote currency.

    `values` is the worth before the first bar's action, then the worth at each close after its action, so that its
    n - 1 changes hold every gain and every cost; `holds` the initial holdings at the same closes. `shares` is the
    coins' part of the value after the action, `probabilities` (n, 3) those of hold, buy and sell. `traded` is the
    value moved as a part of the account's, `commissions` what was paid, `slippages` how much worse than the close the
    fill was, `in_sample` whether the model had learned from the bar. `value` is the worth after the last action, as
    the ledger has it.
    """

    record: AccountRecord
    terms: AccountTerms
    bar_times: NDArray[np.int64]
    closes: Array
    values: Array
    holds: Array
    shares: Array
    probabilities: Array
    traded: Array
    commissions: Array
    slippages: Array
    reasons: list[str]
    models: list[str]
    in_sample: NDArray[np.bool_]
    fills: dict[int, Fill]
    value: float


def read_histories(connection: Connection, main: str, names: Sequence[str] | None) -> list[AccountHistory]:
    """The histories of those accounts, or of all on the main account's market where none is named.

    Raises UsageError where one has no decision.
    """
    return [read_history(connection, name) for name in dict.fromkeys(names or account_names(connection, main))]


def account_names(connection: Connection, first: str) -> list[str]:
    """The accounts with decisions on the market of account `first`, that one in front, the others by name.

    Raises UsageError where there is no such account.
    """
    opened = accounts.read_terms(connection, first)
    if opened is None:
        raise UsageError(f"account {first!r} has not decided a bar in this ledger: choose another with --account")
    a = tables.accounts.c
    names = connection.execute(select(a.account).where(a.market == opened.market).order_by(a.account)).scalars()
    return [first, *(name for name in names if name != first)]


def read_history(connection: Connection, account: str, first: int = 0, end: int = END_OF_TIME) -> AccountHistory:
    """The account's bars with first <= bar_time < end. Raises UsageError where there are none."""
    terms = accounts.read_terms(connection, account)
    record = read_record(connection, terms, first, end) if terms else None
    if record is None:
        raise UsageError(f"account {account!r} has not decided a bar there: `hourhand status --account` shows its bars")
    return history_of(record)


def history_of(record: AccountRecord) -> AccountHistory:
    """The account's history, worked out from its rows."""
    c, closes = record.columns, record.columns.candles[:, 3]
    balances = np.concatenate([[record.held[0]], c.balances[:-1]])
    stocks = np.concatenate([[record.held[1]], c.stocks[:-1]])
    before = balances + stocks * closes
    moved, paid, slipped = np.zeros((3, len(closes)))
    if record.fills:
        fills = list(record.fills.values())
        price, amount, cost, commission = np.array([fill[2:6] for fill in fills]).T
        bought = np.array([fill.side == "buy" for fill in fills])
        at = np.searchsorted(c.bar_times, np.fromiter(record.fills, np.int64))
        moved[at] = np.where(bought, cost, amount * closes[at])
        paid[at] = commission
        slipped[at] = (price - closes[at]) * np.where(bought, 1, -1) * amount
    return AccountHistory(
        record,
        record.terms,
        c.bar_times,
        closes,
        np.concatenate([before[:1], c.values[1:]]),
        c.hold_values,
        c.stocks * closes / np.maximum(c.values, _TINY),
        c.probabilities,
        moved / np.maximum(before, _TINY),
        paid,
        slipped,
        c.reasons,
        c.models,
        _in_sample(record),
        record.fills,
        float(c.values[-1]),
    )


def _in_sample(record: AccountRecord) -> NDArray[np.bool_]:
    """Whether each bar lies in the span that its model learned from."""
    times, models = record.columns.bar_times, np.array(record.columns.models)
    found = np.zeros(len(times), np.bool_)
    for model_id, span in record.spans.items():
        if span is not None:
            found |= (models == model_id) & (times >= span[0]) & (times <= span[1])
    return found


def align_histories(
    whole: Sequence[AccountHistory], *, keep_all: bool = False
) -> tuple[list[AccountHistory], list[str]]:
    """The histories cut to the hours that all of them have, none where there are no such hours; and the names of those
    that were left out.

    Left out, unless `keep_all`, is an account without which the others have more than twice as many hours in common,
    the one that costs them most first; never the first account, nor the only other one unless it has none in common.
    """
    kept, left_out = list(whole), []
    while not keep_all and len(kept) > 1:
        hours = _common_bars(kept)
        costs = [
            (_common_bars([*kept[:place], *kept[place + 1 :]]), -_common_bars([kept[0], kept[place]]), place)
            for place in range(1, len(kept))
        ]
        without, _, place = max(costs)
        if hours and (len(kept) == 2 or without <= 2 * hours):
            break
        left_out.append(kept.pop(place).terms.name)
    if not _common_bars(kept):
        return [], left_out
    first = max(int(history.bar_times[0]) for history in kept)
    last = min(int(history.bar_times[-1]) for history in kept)
    spans = [(int(history.bar_times[0]), int(history.bar_times[-1])) for history in kept]
    return [
        history if span == (first, last) else history_of(cut_record(history.record, first, last + 1))
        for history, span in zip(kept, spans, strict=True)
    ], left_out


def _common_bars(histories: Sequence[AccountHistory]) -> int:
    first = max(int(history.bar_times[0]) for history in histories)
    last = min(int(history.bar_times[-1]) for history in histories)
    return max((last - first) // histories[0].terms.bar + 1, 0)


def exposure(history: AccountHistory) -> float:
    """Mean of the coins' share of the value over the bars."""
    return float(history.shares.mean())


def mix(history: AccountHistory) -> Array:
    """Worth (n,) of an account that starts with the same value, and is brought back to the account's own mean share in
    coins every hour, free of cost.
    """
    return constant_mix(float(history.values[0]), history.closes, exposure(history))


def constant_mix(start: float, closes: Array, share: float) -> Array:
    """Worth (n,) of an account that starts with `start` and is brought back to the same share in coins at each close
    (n,), free of cost.
    """
    changes = np.diff(closes) / closes[:-1]
    grown: Array = start * np.concatenate([[1.0], np.cumprod(1 + share * changes)])
    return grown


def account_statistics(history: AccountHistory) -> dict[str, Any]:
    """The account in numbers; returns are total natural logarithms over the span, not annualised.

    `excess` is value less hold_value in quote; `excess_log_return` the log return less that of holding,
    `timing_log_return` less that of the constant mix; `turnover` the value traded in multiples of the account's.
    `sharpe` is annualised; `best_trade` and `worst_trade` are the largest profit and loss of a sale against the average
    price, None where nothing was sold. `missed` counts the bars that were observed and not traded on, because they came
    too late, the clock was off or the account was paused, `synthetic` those that the exchange did not have.
    """
    yearly = bars_a_year(history.terms.bar)
    profits = [trade.profit for trade in trades(history.record, history.traded) if trade.profit is not None]
    mine, hold, mixed = log_return(history.values), log_return(history.holds), log_return(mix(history))
    return {
        "account": history.terms.name,
        "bars": len(history.bar_times),
        "first": int(history.bar_times[0]),
        "last": int(history.bar_times[-1]),
        "value": history.value,
        "hold_value": float(history.holds[-1]),
        "excess": history.value - float(history.holds[-1]),
        "log_return": mine,
        "hold_log_return": hold,
        "constant_mix_log_return": mixed,
        "excess_log_return": _less(mine, hold),
        "timing_log_return": _less(mine, mixed),
        "sharpe": sharpe(history.values, yearly),
        "hold_sharpe": sharpe(history.holds, yearly),
        "constant_mix_sharpe": sharpe(mix(history), yearly),
        "max_drawdown": float(drawdowns(history.values).max()),
        "hold_max_drawdown": float(drawdowns(history.holds).max()),
        "exposure": exposure(history),
        "trades": len(history.fills),
        "best_trade": max(profits, default=None),
        "worst_trade": min(profits, default=None),
        "turnover": float(history.traded.sum()),
        "commission": float(history.commissions.sum()),
        "slippage": float(history.slippages.sum()),
        "missed": sum(reason not in (POLICY, MINIMUM, SYNTHETIC) for reason in history.reasons),
        "synthetic": history.reasons.count(SYNTHETIC),
        "swaps": len(swaps(history)),
        "models": models_by_last_bar(history),
        "in_sample_bars": int(history.in_sample.sum()),
    }


def models_by_last_bar(history: AccountHistory) -> list[str]:
    """Each model that decided, the one of the newest bar last."""
    return list(dict.fromkeys(reversed(history.models)))[::-1]


def swaps(history: AccountHistory) -> list[int]:
    """The places of the bars that were the first of another model."""
    return [n for n in range(1, len(history.models)) if history.models[n] != history.models[n - 1]]


def months(history: AccountHistory) -> list[dict[str, Any]]:
    """A row for each calendar month (UTC) that has a bar: `month` (2021-06), `bars`, the simple returns `value`, `hold`
    and `mix` from the last value of the month before (in the first month, the first value), `max_drawdown` within
    the month, mean `exposure`, `trades`, `commission` and `in_sample_bars`.
    """
    mixed = mix(history)
    rows = []
    for name, base, start, end in month_bounds(history.bar_times):
        times = history.bar_times[start:end].tolist()
        rows.append(
            {
                "month": name,
                "bars": end - start,
                "value": _change(history.values, base, end),
                "hold": _change(history.holds, base, end),
                "mix": _change(mixed, base, end),
                "max_drawdown": float(drawdowns(history.values[base:end]).max()),
                "exposure": float(history.shares[start:end].mean()),
                "trades": sum(time in history.fills for time in times),
                "commission": float(history.commissions[start:end].sum()),
                "in_sample_bars": int(history.in_sample[start:end].sum()),
            }
        )
    return rows


def month_bounds(bar_times: NDArray[np.int64]) -> list[tuple[str, int, int, int]]:
    """Each calendar month (UTC) that has a bar: its name (2021-06), the place that its returns count from (the last bar
    of the month before, in the first month its own first), the place of its first bar, and of the one after its last.
    """
    names = bar_times.astype("datetime64[s]").astype("datetime64[M]")
    starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist()]
    ends = [*starts[1:], len(names)]
    return [(str(names[start]), max(start - 1, 0), start, end) for start, end in zip(starts, ends, strict=True)]


def _change(values: Array, base: int, end: int) -> float | None:
    return float(values[end - 1] / values[base] - 1) if values[base] > 0 else None


def _less(mine: float | None, other: float | None) -> float | None:
    return None if mine is None or other is None else mine - other
