"""The trading rule, written once for a float, an array and a tensor."""

from typing import Any, Final, NamedTuple

from bot.candles import bar_seconds

HOLD: Final = 0
BUY: Final = 1
SELL: Final = 2
ACTIONS: Final = ("hold", "buy", "sell")


class Rules(NamedTuple):
    """What an account may do. Amounts of money in quote, of coins in base currency."""

    initial_balance: float = 10_000.0
    initial_stocks: float = 1.0
    commission: float = 0.00075
    trade_fraction: float = 0.5
    min_buy_value: float = 1.0
    min_sell_amount: float = 0.0001


class Terms(NamedTuple):
    """What an account is, fixed when its first row is written. `slippage_bps` in hundredths of a percent."""

    name: str
    market: str
    rules: Rules = Rules()
    fill: str = "close"
    slippage_bps: float = 0.0
    seed: int = 0

    @property
    def bar(self) -> int:
        """Length of the market's bars in seconds; a market is `exchange:symbol:timeframe`."""
        return bar_seconds(self.market.rsplit(":", 1)[-1])


class Trade(NamedTuple):
    """Holdings after an action, and what it moved: `spent` in quote on a buy, `sold` in coins on a sell, 0 where
    nothing was done. Each is a float, an array or a tensor, as the arguments were.
    """

    balance: Any
    stocks: Any
    spent: Any
    sold: Any


def trade(action: Any, balance: Any, stocks: Any, price: Any, rules: Rules) -> Trade:
    """Carry out `action` (HOLD, BUY or SELL) at `price`.

    A buy spends `trade_fraction` of the balance where that is more than `min_buy_value`; a sell gives
    `trade_fraction` of the coins where that is more than `min_sell_amount`. The commission is taken from what comes
    in. Works element by element; the article's rule, in the article's order of operations, so that equal inputs give
    equal bits whatever the type.
    """
    spend, give = rules.trade_fraction * balance, rules.trade_fraction * stocks
    spent = spend * ((action == BUY) & (spend > rules.min_buy_value))
    sold = give * ((action == SELL) & (give > rules.min_sell_amount))
    kept = 1 - rules.commission
    return Trade(
        balance=balance - spent + kept * sold * price,
        stocks=stocks - sold + kept * spent / price,
        spent=spent,
        sold=sold,
    )


def worth(balance: Any, stocks: Any, price: Any) -> Any:
    """Value of the holdings at `price`, in quote currency."""
    return balance + stocks * price


def hold_worth(price: Any, rules: Rules) -> Any:
    """Value at `price` of the initial holdings, never touched: what every result is compared with."""
    return worth(rules.initial_balance, rules.initial_stocks, price)
