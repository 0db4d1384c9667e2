"""The one transaction of a bar."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, insert, select, update

from bot.errors import LedgerError
from bot.ledger import chain, tables
from bot.ledger.accounts import account_row
from bot.ledger.reading import newest_link, read_candles_between
from bot.market import Candle
from bot.model import Model
from bot.redact import redact_values
from bot.trading import DecidedBar


def commit_bars(
    connection: Connection,
    candles: Sequence[Candle],
    entries: Sequence[DecidedBar],
    events: Sequence[tuple[float, str, Mapping[str, Any]]] = (),
) -> None:
    """Write decided bars whole: candles not stored yet (warm-up ones too), decisions, fills, memories, new
    accounts and models, and the events (at, kind, detail) that belong to them.

    Entries come in order of time and are all on one market; their candles are in `candles` or in the ledger.
    """
    market = entries[0].trader.terms.market
    _insert(connection, tables.candles, [_candle_row(market, candle) for candle in candles])
    links: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    fills: list[dict[str, Any]] = []
    newest: dict[str, DecidedBar] = {}
    for entry in entries:
        terms, (candle, decision, fill, _) = entry.trader.terms, entry.step
        if entry.warmup_from is not None:
            _add_model(connection, entry.trader.model, decision.bar_time)
        before = links.get(terms.name) or newest_link(connection, terms.name) or _open(connection, entry)
        weights = entry.trader.model.weights_sha256
        links[terms.name] = link = chain.link(before, terms, candle, decision, fill, entry.warmup_from, weights)
        rows.append(_decision_row(entry, link))
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
    """Write one event; `detail` is stored as JSON, without secrets."""
    connection.execute(insert(tables.events).values(at=at, kind=kind, detail=tables.event_text(redact_values(detail))))


def _insert(connection: Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _candle_row(market: str, candle: Candle) -> dict[str, Any]:
    return {"market": market, **candle._asdict(), "synthetic": int(candle.synthetic)}


def _decision_row(entry: DecidedBar, link: str) -> dict[str, Any]:
    return {
        "account": entry.trader.terms.name,
        **entry.step.decision._asdict(),
        "warmup_from": entry.warmup_from,
        "chain": link,
        "chain_version": chain.VERSION,
    }


def _state_row(entry: DecidedBar) -> dict[str, Any]:
    state = entry.step.state
    return {
        "account": entry.trader.terms.name,
        "bar_time": entry.step.decision.bar_time,
        "hidden": np.ascontiguousarray(state.memory, dtype="<f8").tobytes(),
    }


def _open(connection: Connection, entry: DecidedBar) -> str:
    """Write the account's row. Returns the link before its first decision's."""
    terms = entry.trader.terms
    connection.execute(insert(tables.accounts).values(account_row(terms)))
    if terms.rules.limits is not None:
        limits = terms.rules.limits._asdict()
        connection.execute(insert(tables.account_limits).values(account=terms.name, **limits))
    bar_time = entry.step.decision.bar_time
    first = entry.warmup_from if entry.warmup_from is not None else bar_time
    return chain.genesis(terms, read_candles_between(connection, terms.market, first, bar_time))


def _add_model(connection: Connection, model: Model, bar_time: int) -> None:
    m = tables.models.c
    known = connection.execute(select(m.weights_sha256, m.first_bar_time).where(m.model_id == model.model_id)).first()
    if known is not None and known.weights_sha256 != model.weights_sha256:
        raise LedgerError(f"the ledger has different weights for model {model.model_id}: use another model")
    if known is not None and bar_time < known.first_bar_time:  # in another account
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
