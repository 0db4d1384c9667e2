"""Trades one by one: what each moved and cost, and what a sale made against the average price."""

from collections.abc import Mapping
from typing import NamedTuple

from bot.ledger import SMALL_FILL
from bot.model import Array
from bot.report.records import AccountRecord
from bot.trading import Fill


class Trade(NamedTuple):
    """A fill with what followed from it, in quote currency but for `amount`, in coins. `profit` is what a sale brought
    over the average price of the coins sold, commission taken off; None for a buy. `share` is the part of the account's
    value that was moved.
    """

    bar_time: int
    side: str
    price: float
    amount: float
    cost: float
    commission: float
    share: float
    profit: float | None


def trades(record: AccountRecord, traded: Array) -> list[Trade]:
    """The account's trades, oldest first. `traded` (n,) is the value moved at each bar as a part of the account's.

    The average price is that of the coins held: the coins before the first bar count at its close, a buy adds what it
    spent, a sale leaves the average as it was.
    """
    coins = record.held[1]
    spent = coins * float(record.columns.candles[0, 3])
    moved = dict(zip(record.columns.bar_times.tolist(), traded.tolist(), strict=True))
    rows = []
    for fill in record.fills.values():
        profit = None
        if fill.side == "buy":
            coins, spent = coins + fill.amount, spent + fill.cost
        else:
            average = spent / coins if coins > 0 else fill.price
            sold = min(fill.amount, coins)
            profit = fill.amount * (fill.price - average) - fill.commission
            coins, spent = coins - sold, spent - sold * average
        rows.append(Trade(*fill, moved[fill.bar_time], profit))
    return rows


def small_trades(fills: Mapping[int, Fill]) -> int:
    """How many of the fills moved less than ten in quote currency."""
    return sum(fill.cost < SMALL_FILL for fill in fills.values())
