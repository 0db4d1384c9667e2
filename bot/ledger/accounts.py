"""Accounts and how they and their models did; little to import, so that `status` is quick."""

import math
import re
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, func, select

from bot.errors import UsageError
from bot.ledger import tables
from bot.ledger.practice import read_practice
from bot.market import MarketLimits
from bot.trading import OWN_RULES, AccountTerms, Rules

SMALL_FILL: Final = 10.0  # quote currency
_WITH_LIMITS: Final = select(
    tables.accounts, *(tables.account_limits.c[name] for name in MarketLimits._fields)
).outerjoin(tables.account_limits)

_NAME: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}")


def read_terms(connection: Connection, account: str) -> AccountTerms | None:
    """The account's terms, None where there is no such account."""
    row = connection.execute(_WITH_LIMITS.where(tables.accounts.c.account == account)).first()
    return None if row is None else _terms(row)


def read_all_terms(connection: Connection) -> list[AccountTerms]:
    """The terms of every account, by name."""
    return [_terms(row) for row in connection.execute(_WITH_LIMITS.order_by(tables.accounts.c.account))]


def check_name(connection: Connection, account: str) -> None:
    """Raises UsageError where a new account cannot have the name. One that the ledger has keeps any."""
    if not _NAME.fullmatch(account) and read_terms(connection, account) is None:
        allowed = "use at most 64 of A-Z a-z 0-9 . _ @ -"
        raise UsageError(f"settings: {account!r} is not a valid name for a new account: {allowed}")


def _terms(row: Row[Any]) -> AccountTerms:
    """From a row of `_WITH_LIMITS`."""
    rules = Rules(*(getattr(row, name) for name in OWN_RULES))
    terms = AccountTerms(row.account, row.market, rules, row.fill, row.slippage_bps, row.seed)
    limits = [getattr(row, name) for name in MarketLimits._fields]
    if None in limits:
        return terms
    return terms._replace(rules=rules._replace(limits=MarketLimits(*limits)), limits="exchange")


def account_row(terms: AccountTerms) -> dict[str, Any]:
    """The account's row in `accounts`: every term but the exchange's limits, under the name of its column."""
    return {
        "account": terms.name,
        "market": terms.market,
        **{name: getattr(terms.rules, name) for name in OWN_RULES},
        "fill": terms.fill,
        "slippage_bps": terms.slippage_bps,
        "seed": terms.seed,
    }


def account_summary(connection: Connection, account: str) -> dict[str, Any]:
    """The account's newest bar and its totals, None for each where there is no bar yet; whether the ledger is for
    practice, None where it is not marked yet.
    """
    d, c = tables.decisions.c, tables.candles.c
    opened = read_terms(connection, account)
    row = connection.execute(
        select(tables.decisions, c.close)
        .join(tables.accounts, tables.accounts.c.account == d.account)
        .join(tables.candles, (c.market == tables.accounts.c.market) & (c.bar_time == d.bar_time))
        .where(d.account == account)
        .order_by(d.bar_time.desc())
        .limit(1)
    ).first()
    names = ("bar_time", "close", "balance", "stocks", "value", "hold_value")
    found: dict[str, Any] = {"account": account, "market": opened.market if opened else None}
    found |= {name: getattr(row, name) if row else None for name in names}
    found["excess"] = row.value - row.hold_value if row else None
    found["stocks_pct"] = 100 * row.stocks * row.close / row.value if row and row.value else (0.0 if row else None)
    found["bars"] = _count(connection, tables.decisions, account)
    found["trades"] = _count(connection, tables.fills, account)
    found["model_id"] = row.model_id if row else None
    found["chain"] = row.chain if row else None
    found["practice"] = read_practice(connection)
    return found


def _count(connection: Connection, table: Table, account: str) -> int:
    rows = select(func.count()).select_from(table).where(table.c.account == account)
    return int(connection.execute(rows).scalar_one())


def model_performance(connection: Connection, model_id: str) -> dict[str, Any]:
    """How a model did on each account that it decided for: `bars`, `trades`, `first` and `last` bar time, and
    `log_return` of value and of hold_value (natural logarithm), summed over the stretches of bars that it decided
    itself, each from its first bar to its last.
    """
    d, f = tables.decisions.c, tables.fills.c
    performance: dict[str, Any] = {}
    own_fills = select(f.account, func.count()).select_from(tables.fills.join(tables.decisions))
    rows = connection.execute(own_fills.where(d.model_id == model_id).group_by(f.account))
    trades = {str(row[0]): int(row[1]) for row in rows}
    for account, first, last, *ends in _stretches(connection, model_id):
        total = performance.setdefault(
            account,
            {"bars": 0, "trades": trades.get(account, 0), "first": first}
            | {"last": last, "value_log_return": 0.0, "hold_value_log_return": 0.0},
        )
        total["bars"] += ends.pop(0)
        total["last"] = last
        for name, before, after in (("value_log_return", *ends[:2]), ("hold_value_log_return", *ends[2:])):
            known = total[name] is not None and before > 0 and after > 0
            total[name] = total[name] + math.log(after / before) if known else None
    return performance


def _stretches(connection: Connection, model_id: str) -> Iterator[tuple[Any, ...]]:
    """Account, first and last bar time, bars, first and last value, first and last hold_value of each run of bars that
    the model decided without another in between.
    """
    d = tables.decisions.c
    numbered = select(
        *(d[name] for name in ("account", "bar_time", "model_id", "value", "hold_value")),
        (
            func.row_number().over(partition_by=d.account, order_by=d.bar_time)
            - func.row_number().over(partition_by=(d.account, d.model_id), order_by=d.bar_time)
        ).label("stretch"),
    ).subquery()
    n = numbered.c
    spans = (
        select(n.account, n.stretch, func.min(n.bar_time), func.max(n.bar_time), func.count())
        .where(n.model_id == model_id)
        .group_by(n.account, n.stretch)
        .order_by(n.account, func.min(n.bar_time))
    )
    for account, _, first, last, bars in connection.execute(spans).all():
        ends = connection.execute(
            select(d.value, d.hold_value)
            .where(d.account == account, d.bar_time.in_([first, last]))
            .order_by(d.bar_time)
        ).all()
        yield account, first, last, bars, ends[0].value, ends[-1].value, ends[0].hold_value, ends[-1].hold_value
