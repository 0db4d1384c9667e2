"""`hourhand doctor`."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bot.candles import newest_closed
from bot.checkpoint import load
from bot.clock import Clock, utc
from bot.commands.common import add_config, add_json, read_settings, show
from bot.commands.tables import show_table
from bot.errors import ExchangeError, HourhandError, LedgerError
from bot.exchange import Feed
from bot.ledger.engines import address_of
from bot.ledger.store import is_in_use, open_reader
from bot.poller import SKEW_WARNING, STALE_BARS
from bot.registry import resolve
from bot.settings import Settings


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `doctor`."""
    add_config(parser)
    add_json(parser)
    parser.epilog = "Ends with the exit code of the first check that fails.\n\nexample: hourhand doctor"


def call(options: Namespace) -> int:
    """Check one thing after the other; the exit code of the first that fails."""
    settings, clock = read_settings(options)
    feed = Feed(settings.exchange, clock)
    checks: dict[str, Callable[[], str]] = {
        "settings": lambda: f"account {settings.account.name!r} on {settings.market}",
        "ledger": lambda: _ledger(settings),
        "model": lambda: _model(settings),
        "exchange": lambda: _exchange(feed, settings, clock),
        "clock": lambda: _clock(feed),
    }
    results = [_result(name, check) for name, check in checks.items()]
    code = next((result["exit_code"] for result in results if not result["ok"]), 0)
    if options.json:
        show({"ok": code == 0, "checks": results}, as_json=True)
    else:
        show_table(("", "check", "what"), (("ok" if r["ok"] else "!!", r["name"], r["detail"]) for r in results))
    return int(code)


def _result(name: str, check: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "detail": check(), "exit_code": 0}
    except HourhandError as error:
        return {"name": name, "ok": False, "detail": str(error), "exit_code": error.exit_code}


def _ledger(settings: Settings) -> str:
    url = settings.ledger.url
    name = address_of(url).render_as_string()  # without its password
    try:
        open_reader(url).close()
    except LedgerError as error:
        if "there is no ledger" in str(error):
            return f"{name} is not there yet; `hourhand run` makes it"
        raise
    return f"{name}, {'in use by a daemon' if is_in_use(url) else 'not in use'}"


def _model(settings: Settings) -> str:
    folder = resolve(Path(settings.policy.model))
    model = load(folder)
    return f"{model.model_id}, features {model.features.name!r}, from {folder}"


def _exchange(feed: Feed, settings: Settings, clock: Clock) -> str:
    bar = settings.bar
    first = time.perf_counter()
    newest = feed.closed_candles(newest_closed(clock.now(), bar) - STALE_BARS * bar)[-1]
    milliseconds = 1000 * (time.perf_counter() - first)
    return f"{settings.market}: newest closed candle {utc(newest.bar_time)}, answered in {milliseconds:.0f} ms"


def _clock(feed: Feed) -> str:
    skew = feed.skew
    if skew is None:
        return "the exchange did not tell its time"
    if abs(skew) > SKEW_WARNING:
        raise ExchangeError(f"this clock is {skew:+.0f} s off the exchange's: set it (for example with NTP)")
    return f"{skew:+.0f} s from the exchange's"
