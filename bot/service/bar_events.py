"""What is told of decided bars: a line in the log, the events of a swap, a pause and its end; how events are kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from bot.clock import utc
from bot.console import format_cell
from bot.errors import LedgerInUseError, LedgerUnavailableError
from bot.ledger import Ledger, add_event
from bot.observers import Observers
from bot.trading import PAUSED, SYNTHETIC, AccountState, DecidedBar

log = structlog.get_logger()


def record_event(ledger: Ledger, observers: Observers, now: float, kind: str, detail: Mapping[str, Any]) -> None:
    """Tell the observers of an event, and add it to the ledger; one without room for it does not stop the daemon."""
    observers.on_event(kind, **detail)
    try:
        with ledger.writing() as connection:
            add_event(connection, now, kind, detail)
    except (LedgerUnavailableError, LedgerInUseError) as error:
        log.warning("event_lost", kind=kind, error=str(error))


def swap_detail(account: AccountState, bar: DecidedBar) -> dict[str, Any] | None:
    """The detail of a `model_swapped` event, None where the model is the one before."""
    before, now = account.model_before, bar.step.decision.model_id
    if before in (None, now):
        return None
    return {
        "account": account.trader.terms.name,
        "bar_time": bar.step.decision.bar_time,
        "before": before,
        "now": now,
    }


def pause_events(bars: Sequence[DecidedBar], before: set[str]) -> tuple[list[tuple[str, dict[str, Any]]], set[str]]:
    """A `paused` or `resumed` event for each account for which the bars are the first of their kind, and who is paused
    after them; `before` were. Bars that the exchange did not have change nothing.
    """
    events, paused = [], set(before)
    for bar in bars:
        account, decision = bar.trader.terms.name, bar.step.decision
        is_paused = decision.reason == PAUSED
        if decision.reason != SYNTHETIC and is_paused != (account in paused):
            kind = "paused" if is_paused else "resumed"
            events.append((kind, {"account": account, "bar_time": decision.bar_time}))
            paused ^= {account}
    return events, paused


def log_bar(bar: DecidedBar) -> None:
    """One line a bar, what matters first; a trade says what was filled."""
    d, fill = bar.step.decision, bar.step.fill
    filled = {"filled": f"{fill.amount:.8f} at {format_cell(fill.price)}"} if fill is not None else {}
    log.info(
        "bar",
        time=utc(d.bar_time),
        action=d.action,
        **filled,
        reason=d.reason,
        close=bar.step.candle.close,
        value=round(d.value, 2),
        excess=round(d.value - d.hold_value, 2),
        account=bar.trader.terms.name,
        p_hold=d.p_hold,
        p_buy=d.p_buy,
        p_sell=d.p_sell,
        balance=round(d.balance, 2),
        stocks=round(d.stocks, 8),
        hold_value=round(d.hold_value, 2),
    )
