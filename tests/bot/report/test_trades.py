"""What a sale made against the average price of the coins sold."""

import numpy as np
import pytest

from bot.ledger import AccountColumns
from bot.report import AccountRecord, small_trades, trades
from bot.trading import AccountTerms, Fill


def record(fills: list[Fill], closes: list[float]) -> AccountRecord:
    n = len(closes)
    column = np.zeros(n)
    candles = np.tile(np.array(closes)[:, None], 4)
    words = ["policy"] * n
    times = np.arange(n)
    columns = AccountColumns(times, candles, column, column, column, column, np.zeros((n, 3)), words, words)
    terms = AccountTerms("main", "bitfinex:BTC/USD:1h")
    return AccountRecord(terms, columns, {fill.bar_time: fill for fill in fills}, (1000.0, 1.0), {})


def test_a_sale_is_held_against_the_average_price() -> None:
    fills = [
        Fill(1, "buy", 200.0, 1.0, 200.0, 0.5),
        Fill(2, "sell", 180.0, 1.0, 180.0, 0.25),
        Fill(3, "sell", 140.0, 0.5, 70.0, 0.1),
    ]
    rows = trades(record(fills, [100.0, 200.0, 180.0, 140.0]), np.array([0.0, 0.1, 0.2, 0.3]))
    assert [row.profit for row in rows] == [None, pytest.approx(29.75), pytest.approx(-5.1)]  # average 150
    assert [row.share for row in rows] == [0.1, 0.2, 0.3]


def test_trades_below_ten_are_counted() -> None:
    fills = {time: Fill(time, "sell", 100.0, cost / 100, cost, 0.0) for time, cost in enumerate([9.99, 10.0, 500.0])}
    assert small_trades(fills) == 1
