"""An account's bars as arrays: one query, read in pieces, so that ten years of hours need little memory."""

from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, select

from bot.ledger import tables
from bot.model import Array
from bot.trading import AccountTerms

_PIECE: Final = 5_000  # rows
_CANDLE: Final = ("open", "high", "low", "close")
_NUMBERS: Final = ("balance", "stocks", "value", "hold_value", "p_hold", "p_buy", "p_sell")
_TEXTS: Final = ("reason", "model_id")


class AccountColumns(NamedTuple):
    """n bars of an account, oldest first: `candles` (n, 4) are open, high, low and close, `probabilities` (n, 3) those
    of hold, buy and sell, every other array (n,). Holdings and values are after the bar's action.
    """

    bar_times: NDArray[np.int64]
    candles: Array
    balances: Array
    stocks: Array
    values: Array
    hold_values: Array
    probabilities: Array
    reasons: list[str]
    models: list[str]


def read_columns(connection: Connection, terms: AccountTerms, first: int, end: int) -> AccountColumns:
    """The account's bars with first <= bar_time < end; none of them where there are none."""
    d, c = tables.decisions.c, tables.candles.c
    joined = tables.decisions.join(tables.candles, (c.market == terms.market) & (c.bar_time == d.bar_time))
    query = (
        select(d.bar_time, *(c[name] for name in _CANDLE), *(d[name] for name in (*_NUMBERS, *_TEXTS)))
        .select_from(joined)
        .where(d.account == terms.name, d.bar_time >= first, d.bar_time < end)
        .order_by(d.bar_time)
    )
    return _in_pieces(connection, query)


def _in_pieces(connection: Connection, query: Select[Any]) -> AccountColumns:
    times: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    numbers: list[Array] = [np.zeros((0, len(_CANDLE) + len(_NUMBERS)))]
    texts: tuple[list[str], list[str]] = ([], [])
    known: dict[str, str] = {}  # one object for each text, however many rows have it
    for rows in connection.execute(query.execution_options(yield_per=_PIECE)).partitions():
        columns = list(zip(*rows, strict=True))
        times.append(np.array(columns[0], np.int64))
        wide = columns[1 : -len(_TEXTS)]
        numbers.append(np.fromiter(chain.from_iterable(wide), np.float64).reshape(len(wide), -1).T)
        for column, text in zip(columns[-len(_TEXTS) :], texts, strict=True):
            text.extend([known.setdefault(word, word) for word in column])
    table = np.concatenate(numbers)
    n = len(_CANDLE)
    balances, stocks, values, hold_values = np.ascontiguousarray(table[:, n : n + 4].T)
    reasons, models = texts
    return AccountColumns(
        np.concatenate(times),
        np.ascontiguousarray(table[:, :n]),
        balances,
        stocks,
        values,
        hold_values,
        np.ascontiguousarray(table[:, n + 4 :]),
        reasons,
        models,
    )
