"""The one transaction of a bar."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, delete, insert, select, update

from bot.candles import Candle
from bot.checkpoint import Model
from bot.ledger import chain, tables
from bot.ledger.accounts import account_row
from bot.ledger.reading import candles_between, last_link
from bot.trader import Step, Trader


class Entry(NamedTuple):
    """A decided bar of one account. `warmup_from` is the bar that the hidden state was warmed up from right before it
    (the first decision of an account and of each new model), None where it was carried on.
    """

    trader: Trader
    step: Step
    warmup_from: int | None = None


def commit_bars(
    connection: Connection,
    candles: Sequence[Candle],
    entries: Sequence[Entry],
    events: Sequence[tuple[float, str, Mapping[str, Any]]] = (),
) -> None:
    """Write decided bars whole: candles not stored yet (warm-up ones too), decisions, fills, hidden states, new
    accounts and models, and the events (at, kind, detail) that belong to them.

    Entries come in order of time and are all on one market; their candles are in `candles` or in the ledger.
    """
    market = entries[0].trader.terms.market
    _insert(connection, tables.candles, [_candle_row(market, candle) for candle in candles])
    links: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    fills: list[dict[str, Any]] = []
    newest: dict[str, Entry] = {}
    for entry in entries:
        terms, (candle, decision, fill, _) = entry.trader.terms, entry.step
        if entry.warmup_from is not None:
            _add_model(connection, entry.trader.model, decision.bar_time)
        before = links.get(terms.name) or last_link(connection, terms.name) or _open(connection, entry)
        links[terms.name] = link = chain.link(before, terms, candle, decision, fill, entry.warmup_from)
        rows.append({"account": terms.name, **decision._asdict(), "warmup_from": entry.warmup_from, "chain": link})
        if fill is not None:
            fills.append({"account": terms.name, **fill._asdict()})
        newest[terms.name] = entry
    _insert(connection, tables.decisions, rows)
    _insert(connection, tables.fills, fills)
    connection.execute(delete(tables.states).where(tables.states.c.account.in_(list(newest))))
    _insert(connection, tables.states, [_state_row(entry) for entry in newest.values()])
    for at, kind, detail in events:
        add_event(connection, at, kind, detail)


def add_event(connection: Connection, at: float, kind: str, detail: Mapping[str, Any]) -> None:
    """Write one event; `detail` is stored as JSON."""
    connection.execute(insert(tables.events).values(at=at, kind=kind, detail=json.dumps(detail, sort_keys=True)))


def _insert(connection: Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _candle_row(market: str, candle: Candle) -> dict[str, Any]:
    return {"market": market, **candle._asdict(), "synthetic": int(candle.synthetic)}


def _state_row(entry: Entry) -> dict[str, Any]:
    state = entry.step.state
    return {
        "account": entry.trader.terms.name,
        "bar_time": entry.step.decision.bar_time,
        "hidden": np.ascontiguousarray(state.hidden, dtype="<f8").tobytes(),
    }


def _open(connection: Connection, entry: Entry) -> str:
    """Write the account's row; its first decision stands on this."""
    terms = entry.trader.terms
    connection.execute(insert(tables.accounts).values(account_row(terms)))
    bar_time = entry.step.decision.bar_time
    first = entry.warmup_from if entry.warmup_from is not None else bar_time
    return chain.genesis(terms, candles_between(connection, terms.market, first, bar_time))


def _add_model(connection: Connection, model: Model, bar_time: int) -> None:
    m = tables.models.c
    known = connection.execute(select(m.first_bar_time).where(m.model_id == model.model_id)).scalar_one_or_none()
    if known is not None and bar_time < known:  # in another account
        connection.execute(update(tables.models).where(m.model_id == model.model_id).values(first_bar_time=bar_time))
    if known is None:
        connection.execute(
            insert(tables.models).values(
                model_id=model.model_id,
                weights_sha256=model.weights_sha256,
                weights=model.weights,
                manifest=model.manifest,
                first_bar_time=bar_time,
            )
        )
