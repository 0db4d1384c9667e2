"""Rows a page at a time, for those who look in from outside: every query is bounded."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Select, Table, func, select

from bot.ledger import tables


class Span(NamedTuple):
    """Which rows are asked for: those with first <= time < end after `cursor` (a bar time, or an event's id; None: from
    the beginning), at most `limit`; the newest first where `newest_first`.
    """

    first: float
    end: float
    limit: int
    cursor: int | None = None
    newest_first: bool = False


def newest_links(connection: Connection, accounts: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Bar time and chain link of the newest decision of each account that has one."""
    d = tables.decisions.c
    links = {}
    for account in accounts:
        newest = select(d.bar_time, d.chain).where(d.account == account).order_by(d.bar_time.desc()).limit(1)
        row = connection.execute(newest).first()
        if row is not None:
            links[account] = (int(row.bar_time), str(row.chain))
    return links


def link_at(connection: Connection, account: str, bar_time: int) -> str | None:
    """The chain link of the account's decision at a bar, None where it has none."""
    d = tables.decisions.c
    return connection.execute(select(d.chain).where(d.account == account, d.bar_time == bar_time)).scalar_one_or_none()


def bars_after(connection: Connection, account: str, bar_time: int, limit: int) -> list[int]:
    """The account's bar times after `bar_time`, the newest `limit` of them, in order."""
    d = tables.decisions.c
    query = select(d.bar_time).where(d.account == account, d.bar_time > bar_time).order_by(d.bar_time.desc())
    return list(connection.execute(query.limit(limit)).scalars())[::-1]


def page_of_decisions(connection: Connection, account: str, span: Span) -> list[dict[str, Any]]:
    """Rows of `decisions` with all their columns, by bar time."""
    d = tables.decisions
    return _rows(connection, _page(d, d.c.bar_time, d.c.bar_time, span).where(d.c.account == account))


def page_of_candles(connection: Connection, market: str, span: Span) -> list[dict[str, Any]]:
    """Rows of `candles`, by bar time."""
    c = tables.candles
    return _rows(connection, _page(c, c.c.bar_time, c.c.bar_time, span).where(c.c.market == market))


def page_of_events(connection: Connection, kind: str | None, span: Span) -> list[dict[str, Any]]:
    """Rows of `events`, by id, their details decoded."""
    e = tables.events
    query = _page(e, e.c.at, e.c.id, span)
    rows = _rows(connection, query if kind is None else query.where(e.c.kind == kind))
    return [row | {"detail": json.loads(row["detail"])} for row in rows]


def newest_event(connection: Connection) -> int:
    """The id of the newest event, 0 where there is none."""
    return int(connection.execute(select(func.max(tables.events.c.id))).scalar_one() or 0)


def _page(table: Table, time: Column[Any], key: Column[Any], span: Span) -> Select[Any]:
    query = select(table).where(time >= span.first, time < span.end)
    if span.cursor is not None:
        query = query.where(key < span.cursor if span.newest_first else key > span.cursor)
    return query.order_by(key.desc() if span.newest_first else key).limit(span.limit)


def _rows(connection: Connection, query: Select[Any]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's name for it
