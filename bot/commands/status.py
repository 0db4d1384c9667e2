"""`hourhand status`."""

from argparse import ArgumentParser, Namespace
from typing import Any

from bot.clock import Clock, utc
from bot.commands.common import add_config, add_json, read_settings, show
from bot.health import allowed_lag
from bot.ledger.accounts import summary
from bot.ledger.store import is_in_use, open_reader
from bot.settings import Settings


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `status`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--account", help="another account than account.name")
    parser.epilog = (
        "value is the account's, hold_value the initial holdings' at the same close; excess is the difference.\n"
        "state is running, late (a bar is overdue), stopped, or empty (no bar yet).\n\nexample: hourhand status --json"
    )


def call(options: Namespace) -> int:
    """Print where the account stands."""
    settings, clock = read_settings(options)
    account = options.account or settings.account.name
    ledger = open_reader(settings.ledger.url)
    with ledger.reading() as connection:
        told = summary(connection, account)
    ledger.close()
    told |= _state(told["bar_time"], settings, clock)
    if not options.json and told["bar_time"] is not None:
        told["bar_time"] = utc(told["bar_time"])
        told["stocks_pct"] = round(told["stocks_pct"], 2)
        told["lag_seconds"] = round(told["lag_seconds"])
    show(told, as_json=options.json)
    return 0


def _state(bar_time: int | None, settings: Settings, clock: Clock) -> dict[str, Any]:
    if bar_time is None:
        return {"lag_seconds": None, "state": "empty"}
    lag = clock.now() - bar_time - settings.bar
    if not is_in_use(settings.ledger.url):
        return {"lag_seconds": lag, "state": "stopped"}
    return {"lag_seconds": lag, "state": "late" if lag > allowed_lag(settings) else "running"}
