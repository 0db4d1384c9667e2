"""The trading rule, written once for a float, an array and a tensor."""

from typing import Any, Final, NamedTuple

from bot.clock import bar_seconds
from bot.market import MarketLimits
from bot.model import BUY, HOLD, SELL
from bot.settings import RuleSettings, Settings

_NUDGE: Final = 1 + 2.0**-51  # a quotient that its rounding took just below a whole number is that number


class Rules(NamedTuple):
    """What an account may do. Amounts of money in quote, of coins in base currency. `limits` are the exchange's, beside
    the account's own minimums; None where only those count and amounts are not rounded.
    """

    initial_balance: float = 10_000.0
    initial_stocks: float = 1.0
    commission: float = 0.00075
    trade_fraction: float = 0.5
    min_buy_value: float = 1.0
    min_sell_amount: float = 0.0001
    limits: MarketLimits | None = None

    def trade(self, action: Any, balance: Any, stocks: Any, price: Any) -> "Trade":
        """`trade` under these rules: for a policy that plans."""
        return trade(action, balance, stocks, price, self)

    def with_share(self, share: float, close: float) -> "Rules":
        """The same for an account that starts with `initial_balance` in all, `share` of it in coins at `close`."""
        coins = share * self.initial_balance
        return self._replace(initial_balance=self.initial_balance - coins, initial_stocks=coins / close)


OWN_RULES: Final = Rules._fields[:-1]
"""The rules that an account's settings give: all but the exchange's limits."""


class AccountTerms(NamedTuple):
    """What an account is, fixed when its first row is written. `slippage_bps` in hundredths of a percent. Where
    `limits` is `exchange`, those in force are in `rules` from the account's first bar on.
    """

    name: str
    market: str
    rules: Rules = Rules()
    fill: str = "close"
    slippage_bps: float = 0.0
    seed: int = 0
    limits: str = "own"

    @property
    def bar(self) -> int:
        """Length of the market's bars in seconds; a market is `exchange:symbol:timeframe`."""
        return bar_seconds(self.market.rsplit(":", 1)[-1])


class Quote(NamedTuple):
    """The ticker's best prices when a decision was taken; in each a float, or an array with one of each account."""

    bid: Any
    ask: Any


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
    in. With an exchange's limits the coins ordered are rounded down to its step, and an order below its minimum amount
    or cost is not done either. Works element by element; the article's rule, in the article's order of operations, so
    that equal inputs give equal bits whatever the type.
    """
    spend, give = rules.trade_fraction * balance, rules.trade_fraction * stocks
    buys, sells = action == BUY, action == SELL
    if rules.limits is not None:
        ordered, give = (_whole_steps(coins, rules.limits.amount_step) for coins in (spend / price, give))
        spend = _at_most(ordered * price, spend)
        buys, sells = buys & _is_taken(ordered, price, rules.limits), sells & _is_taken(give, price, rules.limits)
    spent = spend * (buys & (spend > rules.min_buy_value))
    sold = give * (sells & (give > rules.min_sell_amount))
    kept = 1 - rules.commission
    return Trade(
        balance=balance - spent + kept * sold * price,
        stocks=stocks - sold + kept * spent / price,
        spent=spent,
        sold=sold,
    )


def _whole_steps(coins: Any, step: float) -> Any:
    """The coins rounded down to a multiple of `step`; as they are where that is 0."""
    if step == 0:
        return coins
    steps = coins / step * _NUDGE // 1
    return _at_most((steps - (steps * step > coins)) * step, coins)


def _at_most(number: Any, most: Any) -> Any:
    """`number`, `most` where it is above that by its last bits."""
    return number - (number - most) * (number > most)


def _is_taken(coins: Any, price: Any, limits: MarketLimits) -> Any:
    return (coins >= limits.min_amount) & (coins * price >= limits.min_cost)


class Execution(NamedTuple):
    """A bar's action carried out on one account, or element by element on an array of them.

    `action` is what was done, HOLD where the minimum refused it (`refused`). `price` is the fill's, the close where
    nothing was traded. `amount` is in coins, `cost` and `commission` are in quote; all 0 where nothing was traded.
    """

    action: Any
    refused: Any
    price: Any
    balance: Any
    stocks: Any
    amount: Any
    cost: Any
    commission: Any


def fill_price(action: Any, close: Any, quote: Quote | None, slippage_bps: float) -> Any:
    """What a buy pays or a sell gets for a coin: the quote's ask or bid, the close where there is none, worse by the
    slippage. The close for HOLD.
    """
    slippage = slippage_bps / 10_000
    ask, bid = (quote.ask, quote.bid) if quote else (close, close)
    buy, sell = ask * (1 + slippage), bid * (1 - slippage)
    return buy * (action == BUY) + sell * (action == SELL) + close * (action == HOLD)


def execute(
    action: Any,
    balance: Any,
    stocks: Any,
    close: Any,
    rules: Rules,
    slippage_bps: float = 0.0,
    quote: Quote | None = None,
) -> Execution:
    """Carry out `action` at the end of a bar: the only definition of a fill, for the daemon and for every backtest.

    Prices are finite and positive.
    """
    price = fill_price(action, close, quote, slippage_bps)
    done = trade(action, balance, stocks, price, rules)
    traded = (done.spent > 0) | (done.sold > 0)
    final = action * traded  # HOLD is 0
    cost = done.spent + done.sold * price
    return Execution(
        action=final,
        refused=final != action,
        price=fill_price(final, close, quote, slippage_bps),
        balance=done.balance,
        stocks=done.stocks,
        amount=(1 - rules.commission) * done.spent / price + done.sold,
        cost=cost,
        commission=rules.commission * cost,
    )


def account_value(balance: Any, stocks: Any, price: Any) -> Any:
    """Value of the holdings at `price`, in quote currency."""
    return balance + stocks * price


def hold_value_at(price: Any, rules: Rules) -> Any:
    """Value at `price` of the initial holdings, never touched: what every result is compared with."""
    return account_value(rules.initial_balance, rules.initial_stocks, price)


def rules_of(settings: RuleSettings) -> Rules:
    """The trading rule that `[account]` describes."""
    return Rules(*(getattr(settings, name) + 0.0 for name in OWN_RULES))  # no negative zero: SQLite keeps none


def terms_of(settings: Settings) -> AccountTerms:
    """The account that the settings describe."""
    account = settings.account
    return AccountTerms(
        account.name,
        settings.market,
        rules_of(account),
        account.fill,
        account.slippage_bps + 0.0,
        settings.policy.seed,
        account.limits,
    )
