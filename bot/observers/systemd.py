"""Notify systemd: ready, alive, stopping. Silent where it does not ask."""

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from bot.clock import utc
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
    """An observer that keeps the line of `systemctl status`: the newest bar, or what is wrong since."""

    name = "status"

    def on_accounts(self, account_states: Sequence[AccountState]) -> None:
        """Say which bar is the newest."""
        bar_time = account_states[0].bar_time
        notify(f"STATUS=newest decided bar {utc(bar_time)}" if bar_time is not None else "STATUS=no bar decided yet")

    def on_bar(self, entries: Sequence[DecidedBar], seconds: float) -> None:  # noqa: ARG002 - an observer's
        """Say what was decided."""
        d = entries[0].step.decision
        notify(
            f"STATUS=bar {utc(d.bar_time)}: {d.action} ({d.reason}), value {d.value:,.2f}, holding {d.hold_value:,.2f}"
        )

    def on_event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Say what is wrong."""
        if "error" in detail:
            notify(f"STATUS={kind}: {str(detail['error']).splitlines()[0]}")

    def tick(self, *, last: bool) -> bool:  # noqa: ARG002 - an observer's
        """Nothing to do."""
        return False
