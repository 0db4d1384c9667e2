"""What the ledger knows, as the values that the rest works with."""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import Connection, func, select

from bot.candles import Candle
from bot.features import Array
from bot.ledger import tables
from bot.trader import Decision, Fill

_NEVER: Final = 2**62


class Head(NamedTuple):
    """Where an account stands: its last bar, the holdings after it, the model that decided it and the hidden state
    (2, lstm), None where it is lost.
    """

    bar_time: int
    balance: float
    stocks: float
    model_id: str
    hidden: Array | None


class Stored(NamedTuple):
    """A row of `decisions` with what belongs to it."""

    decision: Decision
    warmup_from: int | None
    chain: str


def last_link(connection: Connection, account: str) -> str | None:
    """The `chain` of the account's newest decision, None where it has none."""
    d = tables.decisions.c
    return connection.execute(
        select(d.chain).where(d.account == account).order_by(d.bar_time.desc()).limit(1)
    ).scalar_one_or_none()


def head(connection: Connection, account: str) -> Head | None:
    """Where the account stands, None where it has no decision."""
    d, s = tables.decisions.c, tables.states.c
    row = connection.execute(
        select(d.bar_time, d.balance, d.stocks, d.model_id, s.hidden)
        .outerjoin(tables.states, (s.account == d.account) & (s.bar_time == d.bar_time))
        .where(d.account == account)
        .order_by(d.bar_time.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    return Head(*row[:4], hidden_of(row.hidden))


def hidden_of(blob: bytes | None) -> Array | None:
    """The hidden state (2, lstm) from its bytes, None where they are no such thing."""
    if not blob or len(blob) % 16:
        return None
    return np.frombuffer(blob, dtype="<f8").reshape(2, -1).astype(np.float64)


def candles_between(connection: Connection, market: str, first: int, end: int) -> list[Candle]:
    """The stored candles with first <= bar_time < end, in order of time."""
    c = tables.candles.c
    rows = connection.execute(
        select(*(c[name] for name in Candle._fields))
        .where(c.market == market, c.bar_time >= first, c.bar_time < end)
        .order_by(c.bar_time)
    )
    return [Candle(*row)._replace(synthetic=bool(row.synthetic)) for row in rows]


def newest_bar(connection: Connection, market: str) -> int | None:
    """Open time of the newest stored candle of the market, None where there is none."""
    c = tables.candles.c
    newest: int | None = connection.execute(select(func.max(c.bar_time)).where(c.market == market)).scalar_one()
    return newest


def decisions_of(connection: Connection, account: str, first: int = 0, end: int = _NEVER) -> Iterator[Stored]:
    """The account's decisions with first <= bar_time < end, in order of time."""
    d = tables.decisions.c
    wanted = [*(d[name] for name in Decision._fields), d.warmup_from, d.chain]
    mine = select(*wanted).where(d.account == account, d.bar_time >= first, d.bar_time < end)
    rows = connection.execute(mine.order_by(d.bar_time))
    n = len(Decision._fields)
    for row in rows:
        yield Stored(Decision(*row[:n]), row[n], row[n + 1])


def fills_of(connection: Connection, account: str) -> dict[int, Fill]:
    """The account's fills by bar time."""
    f = tables.fills.c
    rows = connection.execute(select(*(f[name] for name in Fill._fields)).where(f.account == account))
    return {row[0]: Fill(*row) for row in rows}


def events_of(connection: Connection, kind: str) -> list[dict[str, Any]]:
    """The details of all events of a kind, oldest first."""
    e = tables.events.c
    rows = connection.execute(select(e.detail).where(e.kind == kind).order_by(e.id))
    return [json.loads(row.detail) for row in rows]
