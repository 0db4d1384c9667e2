"""What an account is and where it stands: little to load, so that looking is quick."""

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
