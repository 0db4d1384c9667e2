"""Read the ledger's rows as the values that the other rooms work with."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, bindparam, func, select

from bot.clock import END_OF_TIME
from bot.ledger import tables
from bot.market import Candle
from bot.model import Array
from bot.trading import PAUSED, SYNTHETIC, Decision, Fill


class StoredState(NamedTuple):
    """An account after its newest decided bar: holdings, the model that decided, and its policy's memory (n,), None
    where it is missing or damaged.
    """

    bar_time: int
    balance: float
    stocks: float
    model_id: str
    memory: Array | None


class StoredDecision(NamedTuple):
    """A row of `decisions`."""

    decision: Decision
    warmup_from: int | None
    chain: str
    chain_version: int


def newest_link(connection: Connection, account: str) -> str | None:
    """The `chain` of the account's newest decision, None where it has none."""
    d = tables.decisions.c
    return connection.execute(
        select(d.chain).where(d.account == account).order_by(d.bar_time.desc()).limit(1)
    ).scalar_one_or_none()


def is_paused(connection: Connection, account: str) -> bool:
    """Whether the account's newest bar was not traded on because it was paused. Bars that the exchange did not have
    say nothing of it.
    """
    d = tables.decisions.c
    newest = select(d.reason).where(d.account == account, d.reason != SYNTHETIC).order_by(d.bar_time.desc()).limit(1)
    return connection.execute(newest).scalar_one_or_none() == PAUSED


def holds(connection: Connection, link: str) -> bool:
    """Whether the link is the `chain` of a decision, in any account."""
    d = tables.decisions.c
    return connection.execute(select(d.bar_time).where(d.chain == link).limit(1)).first() is not None


def read_state(connection: Connection, account: str) -> StoredState | None:
    """The account after its newest decision, None where it has none."""
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
    return StoredState(*row[:4], decode_memory(row.hidden))


def decode_memory(blob: bytes | None) -> Array | None:
    """A policy's memory (n,) from its bytes, None where they are not one."""
    if blob is None or len(blob) % 8:
        return None
    return np.frombuffer(blob, dtype="<f8").astype(np.float64)


def read_candles_between(connection: Connection, market: str, first: int = 0, end: int = END_OF_TIME) -> list[Candle]:
    """The stored candles with first <= bar_time < end, in order of time."""
    c = tables.candles.c
    rows = connection.execute(
        select(*(c[name] for name in Candle._fields))
        .where(c.market == market, c.bar_time >= first, c.bar_time < end)
        .order_by(c.bar_time)
    )
    return [Candle(*row)._replace(synthetic=bool(row.synthetic)) for row in rows]


def first_bar(connection: Connection, account: str) -> int | None:
    """Open time of the account's first decided bar, None where there is none."""
    d = tables.decisions.c
    first: int | None = connection.execute(select(func.min(d.bar_time)).where(d.account == account)).scalar_one()
    return first


def newest_bar(connection: Connection, market: str) -> int | None:
    """Open time of the newest stored candle of the market, None where there is none."""
    c = tables.candles.c
    newest: int | None = connection.execute(select(func.max(c.bar_time)).where(c.market == market)).scalar_one()
    return newest


def read_decisions(
    connection: Connection, account: str, first: int = 0, end: int = END_OF_TIME
) -> Iterator[StoredDecision]:
    """The account's decisions with first <= bar_time < end, in order of time."""
    d = tables.decisions.c
    columns = [*(d[name] for name in Decision._fields), d.warmup_from, d.chain, d.chain_version]
    query = select(*columns).where(d.account == account, d.bar_time >= first, d.bar_time < end)
    rows = connection.execute(query.order_by(d.bar_time))
    n = len(Decision._fields)
    for row in rows:
        yield StoredDecision(Decision(*row[:n]), *row[n:])


def read_fills(connection: Connection, account: str, first: int = 0, end: int = END_OF_TIME) -> dict[int, Fill]:
    """The account's fills with first <= bar_time < end by bar time, in order of time."""
    f = tables.fills.c
    query = select(*(f[name] for name in Fill._fields)).where(
        f.account == account, f.bar_time >= first, f.bar_time < end
    )
    return {row[0]: Fill(*row) for row in connection.execute(query.order_by(f.bar_time))}


def read_events(connection: Connection, kind: str) -> list[dict[str, Any]]:
    """The details of all events of a kind, oldest first."""
    e = tables.events.c
    rows = connection.execute(select(e.detail).where(e.kind == kind).order_by(e.id))
    return [json.loads(row.detail) for row in rows]


def new_revisions(connection: Connection, details: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those details that no `revision` event has yet. The work does not depend on how many events there are."""
    e = tables.events.c
    known = select(e.id).where(tables.IS_REVISION, e.detail == bindparam("detail")).limit(1)
    return [
        detail for detail in details if connection.execute(known, {"detail": tables.event_text(detail)}).first() is None
    ]
