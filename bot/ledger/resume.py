"""Resume an account from the ledger."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from bot.errors import LedgerError, UsageError
from bot.ledger import accounts, reading
from bot.market import Candle
from bot.trading import OWN_RULES, AccountState, AccountTerms, State, Trader

_SETTING: Final = {"seed": "policy.seed", "market": "exchange.id, exchange.symbol or exchange.timeframe"}


def resume_account(connection: Connection, trader: Trader, warmup_bars: int) -> AccountState:
    """The account as the ledger left it, with the exchange's limits that it was opened with.

    The policy's memory is the stored one; a new model, or one whose memory is lost or of another length, is warmed up
    on the last `warmup_bars` stored candles with the holdings of those bars.

    Raises UsageError, naming the key, where the account was opened on other terms.
    """
    opened = accounts.read_terms(connection, trader.terms.name)
    if opened is not None:
        trader = _opened(connection, trader, opened)
    stored = reading.read_state(connection, trader.terms.name)
    if stored is None:
        return AccountState(trader, trader.start())
    end = stored.bar_time + trader.terms.bar
    newest = reading.read_candles_between(connection, trader.terms.market, stored.bar_time, end)
    if not newest:
        raise LedgerError("the ledger has a decision without its candle: see `hourhand verify`, and restore a backup")
    same_model = stored.model_id == trader.model.model_id
    if same_model and stored.memory is not None and stored.memory.shape == trader.start().memory.shape:
        state = State(stored.balance, stored.stocks, stored.memory, newest[0])
        return AccountState(trader, state, stored.bar_time, None, stored.model_id)
    state, first = warm_up_from_ledger(connection, trader, end - warmup_bars * trader.terms.bar, end)
    return AccountState(trader, state, stored.bar_time, first, stored.model_id)


def warm_up_from_ledger(connection: Connection, trader: Trader, first: int, end: int) -> tuple[State, int]:
    """The state at `end` after a warm-up on the stored candles in [first, end), each seen with the account's holdings
    at that bar; and the bar where the warm-up begins (`end` where there are no candles).
    """
    terms = trader.terms
    candles = _unbroken_end(reading.read_candles_between(connection, terms.market, first, end), terms.bar)
    after = {
        stored.decision.bar_time: (stored.decision.balance, stored.decision.stocks)
        for stored in reading.read_decisions(connection, terms.name, first - terms.bar, end)
    }
    held = (terms.rules.initial_balance, terms.rules.initial_stocks)
    holdings = []
    for candle in candles:
        held = after.get(candle.bar_time - terms.bar, held)
        holdings.append(held)
    state = trader.warm_up(candles, holdings)
    balance, stocks = after.get(end - terms.bar, held)
    return state._replace(balance=balance, stocks=stocks), candles[0].bar_time if candles else end


def _unbroken_end(candles: Sequence[Candle], bar: int) -> Sequence[Candle]:
    """The longest end of the candles in which none is missing."""
    start = max(len(candles) - 1, 0)
    while start and candles[start - 1].bar_time + bar == candles[start].bar_time:
        start -= 1
    return candles[start:]


def _opened(connection: Connection, trader: Trader, opened: AccountTerms) -> Trader:
    """The trader of an account that the ledger has, on the terms that it was opened with. Raises UsageError where the
    settings have others.
    """
    first = reading.first_bar(connection, opened.name)
    if trader.initial_share is None or first is None:
        _require_equal(opened, trader.terms)
        return replace(trader, terms=opened)
    candles = reading.read_candles_between(connection, opened.market, first, first + 1)
    fixed = trader.opened_at(candles[0].close) if candles else trader
    before, now = opened.rules, fixed.terms.rules
    if (before.initial_balance, before.initial_stocks) != (now.initial_balance, now.initial_stocks):
        raise UsageError(
            f"settings: initial_share is {trader.initial_share} of {trader.terms.rules.initial_balance}, but account "
            f"{opened.name!r} was opened with {before.initial_balance} and {before.initial_stocks} coins: set it back, "
            "or open another account beside it with another name"
        )
    _require_equal(opened, fixed.terms)
    return replace(fixed, terms=opened)


def _require_equal(opened: AccountTerms, configured: AccountTerms) -> None:
    for field in AccountTerms._fields:
        before, now = getattr(opened, field), getattr(configured, field)
        if field == "rules":
            now = now._replace(limits=before.limits)
        if before == now:
            continue
        if field == "rules":
            key = next(name for name in OWN_RULES if getattr(before, name) != getattr(now, name))
            before, now, key = getattr(before, key), getattr(now, key), f"account.{key}"
        else:
            key = _SETTING.get(field, f"account.{field}")
        raise UsageError(
            f"settings: {key} is {now}, but account {opened.name!r} was opened with {before}: set it back, "
            "or open another account beside it with another account.name"
        )
