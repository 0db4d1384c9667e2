"""Notify systemd: ready, alive, stopping. Silent where it does not ask."""

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from bot.clock import utc
from bot.observers.newest import main_accounts
from bot.trading import AccountState, DecidedBar


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send a line such as `READY=1` to the socket in NOTIFY_SOCKET (see sd_notify(3)); silent where there is none."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.connect("\0" + address[1:] if address.startswith("@") else address)
            sender.send(state.encode())
        except OSError:
            return  # whoever asked is gone; that is no reason not to trade


def listening(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether systemd asked for notifications."""
    return bool(environment.get("NOTIFY_SOCKET"))


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float:
    """How often systemd wants to hear from this process, 0.0 where it does not (see sd_watchdog_enabled(3))."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    interval = environment.get("WATCHDOG_USEC", "")
    return int(interval) / 1e6 if interval.isdecimal() else 0.0


class StatusLine:
    """An observer that keeps the line of `systemctl status`: the newest bar, or what is wrong since.

    Of several markets, it says how many have decided the bar, and which get no answer.
    """

    name = "status"

    def __init__(self) -> None:
        self.bars: dict[str, int | None] = {}  # the newest one of each market, by the name of its main account
        self.failing: dict[str, None] = {}

    def on_accounts(self, account_states: Sequence[AccountState]) -> None:
        """Say which bar is the newest."""
        bar_time = account_states[0].bar_time
        self.bars = {account.trader.terms.name: account.bar_time for account in main_accounts(account_states)}
        self.failing = {name: None for name in self.failing if name in self.bars}
        notify(f"STATUS=newest decided bar {utc(bar_time)}" if bar_time is not None else "STATUS=no bar decided yet")

    def on_bar(self, entries: Sequence[DecidedBar], seconds: float) -> None:  # noqa: ARG002 - an observer's
        """Say what was decided."""
        d = entries[0].step.decision
        self.bars[entries[0].trader.terms.name] = d.bar_time
        if len(self.bars) > 1:
            decided = sum(bar_time is not None and bar_time >= d.bar_time for bar_time in self.bars.values())
            failing = f"; no answer for {', '.join(self.failing)}" if self.failing else ""
            notify(f"STATUS=bar {utc(d.bar_time)}: {decided} of {len(self.bars)} markets decided{failing}")
            return
        notify(
            f"STATUS=bar {utc(d.bar_time)}: {d.action} ({d.reason}), value {d.value:,.2f}, holding {d.hold_value:,.2f}"
        )

    def on_event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Say what is wrong."""
        market = str(detail.get("market", next(iter(self.bars), "")))
        if kind == "exchange_error":
            self.failing[market] = None
        elif kind == "exchange_recovered":
            self.failing.pop(market, None)
        if "error" in detail:
            whose = f"market {market}: " if "market" in detail else ""
            notify(f"STATUS={kind}: {whose}{str(detail['error']).splitlines()[0]}")

    def tick(self, *, last: bool) -> bool:  # noqa: ARG002 - an observer's
        """Nothing to do."""
        return False
