"""What the ledger has of an account, as arrays: read once, cut and continued in memory."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from bot.clock import END_OF_TIME
from bot.ledger import AccountColumns, read_columns, reading, tables
from bot.model import training_span
from bot.trading import AccountTerms, Fill


class AccountRecord(NamedTuple):
    """The ledger's rows of one account over consecutive bars, from which everything else follows. `held` are balance
    and stocks before the first bar, `spans` the bar times that each model learned from.
    """

    terms: AccountTerms
    columns: AccountColumns
    fills: dict[int, Fill]
    held: tuple[float, float]
    spans: Mapping[str, tuple[int, int] | None]


def read_record(
    connection: Connection, terms: AccountTerms, first: int = 0, end: int = END_OF_TIME
) -> AccountRecord | None:
    """The account's rows with first <= bar_time < end, None where there are none."""
    columns = read_columns(connection, terms, first, end)
    if not len(columns.bar_times):
        return None
    begin = int(columns.bar_times[0])
    earlier = next(iter(reading.read_decisions(connection, terms.name, begin - terms.bar, begin)), None)
    rules = terms.rules
    held = (rules.initial_balance, rules.initial_stocks)
    if earlier is not None:
        held = (earlier.decision.balance, earlier.decision.stocks)
    m = tables.models.c
    rows = connection.execute(select(m.model_id, m.manifest).where(m.model_id.in_(set(columns.models))))
    spans = {model_id: training_span(manifest) for model_id, manifest in rows}
    return AccountRecord(terms, columns, reading.read_fills(connection, terms.name, first, end), held, spans)


def cut_record(record: AccountRecord, first: int, end: int) -> AccountRecord:
    """The rows with first <= bar_time < end; some of the record's bars are among them."""
    c = record.columns
    start, stop = np.searchsorted(c.bar_times, [first, end]).tolist()
    if start == 0 and stop == len(c.bar_times):
        return record
    held = (float(c.balances[start - 1]), float(c.stocks[start - 1])) if start else record.held
    fills = {time: fill for time, fill in record.fills.items() if first <= time < end}
    columns: list[Any] = [column[start:stop] for column in c]
    return record._replace(columns=AccountColumns(*columns), fills=fills, held=held)


def join_records(record: AccountRecord, later: AccountRecord) -> AccountRecord:
    """The record and the rows that follow it."""
    pairs: list[tuple[Any, Any]] = list(zip(record.columns, later.columns, strict=True))
    columns: list[Any] = [a + b if isinstance(a, list) else np.concatenate([a, b]) for a, b in pairs]
    return record._replace(
        columns=AccountColumns(*columns), fills=record.fills | later.fills, spans={**record.spans, **later.spans}
    )
