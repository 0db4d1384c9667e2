"""What an account is and where it stands: little to load, so that looking is quick."""

import math
from typing import Any

from sqlalchemy import Connection, Row, Table, func, select

from bot.account import Rules, Terms
from bot.ledger import tables


def terms(connection: Connection, account: str) -> Terms | None:
    """What the account is, None where there is no such account."""
    row = connection.execute(select(tables.accounts).where(tables.accounts.c.account == account)).first()
    return None if row is None else terms_of(row)


def terms_of(row: Row[Any]) -> Terms:
    """From a row of `accounts`."""
    rules = Rules(*(getattr(row, name) for name in Rules._fields))
    return Terms(row.account, row.market, rules, row.fill, row.slippage_bps, row.seed)


def account_row(terms: Terms) -> dict[str, Any]:
    """The account's row: every term under the name of its column."""
    name, market, rules, *_ = terms
    return {
        "account": name,
        "market": market,
        **rules._asdict(),
        "fill": terms.fill,
        "slippage_bps": terms.slippage_bps,
        "seed": terms.seed,
    }


def summary(connection: Connection, account: str) -> dict[str, Any]:
    """The account's newest bar and its totals; None for each where there is no bar yet."""
    d, c = tables.decisions.c, tables.candles.c
    opened = terms(connection, account)
    row = connection.execute(
        select(tables.decisions, c.close)
        .join(tables.accounts, tables.accounts.c.account == d.account)
        .join(tables.candles, (c.market == tables.accounts.c.market) & (c.bar_time == d.bar_time))
        .where(d.account == account)
        .order_by(d.bar_time.desc())
        .limit(1)
    ).first()
    names = ("bar_time", "close", "balance", "stocks", "value", "hold_value")
    told: dict[str, Any] = {"account": account, "market": opened.market if opened else None}
    told |= {name: getattr(row, name) if row else None for name in names}
    told["excess"] = row.value - row.hold_value if row else None
    told["stocks_pct"] = 100 * row.stocks * row.close / row.value if row and row.value else (0.0 if row else None)
    told["bars"] = _count(connection, tables.decisions, account)
    told["trades"] = _count(connection, tables.fills, account)
    told["model_id"] = row.model_id if row else None
    return told


def _count(connection: Connection, table: Table, account: str) -> int:
    rows = select(func.count()).select_from(table).where(table.c.account == account)
    return int(connection.execute(rows).scalar_one())


def live_record(connection: Connection, model_id: str) -> dict[str, Any]:
    """How a model did on each account that it decided for: `bars`, `trades`, `first` and `last` bar time, and
    `log_return` of value and of hold_value (natural logarithm, from its first decided bar to its last).
    """
    d, f = tables.decisions.c, tables.fills.c
    told: dict[str, Any] = {}
    spans = select(d.account, func.count(), func.min(d.bar_time), func.max(d.bar_time)).where(d.model_id == model_id)
    for account, bars, first, last in connection.execute(spans.group_by(d.account)).all():
        ends = select(d.value, d.hold_value).where(d.account == account, d.bar_time.in_([first, last]))
        values = connection.execute(ends.order_by(d.bar_time)).all()
        mine = select(func.count()).select_from(tables.fills.join(tables.decisions))
        trades = connection.execute(mine.where(f.account == account, d.model_id == model_id)).scalar_one()
        told[account] = {"bars": bars, "trades": trades, "first": first, "last": last}
        for name in ("value", "hold_value"):
            before, after = getattr(values[0], name), getattr(values[-1], name)
            told[account][f"{name}_log_return"] = math.log(after / before) if before > 0 and after > 0 else None
    return told
