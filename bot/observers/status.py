"""How every account is now: its newest bar, its totals, and whether it keeps up. What `status --json` shows."""

from typing import Any

from sqlalchemy import Connection, select

from bot.clock import bar_seconds
from bot.ledger import account_summary, tables
from bot.observers.health import allowed_lag
from bot.settings import Settings


def account_status(
    connection: Connection, account: str, settings: Settings, now: float, *, in_use: bool
) -> dict[str, Any]:
    """What `account_summary` has, `lag_seconds` since its newest bar closed at `now` (Unix seconds, None where there is
    no bar) and `state`: `running`, `late` (a bar is overdue), `stopped`, or `empty` (no bar yet). `in_use` says whether
    a daemon holds the ledger. An account whose market the settings do not have is `stopped`.
    """
    summary = account_summary(connection, account)
    if summary["bar_time"] is None:
        return summary | {"lag_seconds": None, "state": "empty"}
    bar = bar_seconds(summary["market"].rsplit(":", 1)[-1])
    lag = now - summary["bar_time"] - bar
    if not in_use or summary["market"] not in {market.market for market in settings.each_market()}:
        state = "stopped"
    else:
        state = "late" if lag > allowed_lag(settings, bar) else "running"
    return summary | {"lag_seconds": lag, "state": state}


def account_statuses(
    connection: Connection, settings: Settings, now: float, *, in_use: bool, first: str | None = None
) -> list[dict[str, Any]]:
    """`account_status` of account `first` (default: that of the settings), empty or not, then of every other account in
    the ledger by name.
    """
    first = first or settings.account.name
    a = tables.accounts.c
    others = connection.execute(select(a.account).where(a.account != first).order_by(a.account)).scalars()
    return [account_status(connection, name, settings, now, in_use=in_use) for name in [first, *others]]
