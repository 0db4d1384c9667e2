"""`hourhand doctor`."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

from bot.clock import Clock, newest_closed, utc
from bot.console import add_config, add_json, print_result, print_table, read_settings
from bot.errors import ExchangeError, HourhandError, LedgerError, UsageError
from bot.ledger import (
    check_name,
    check_practice,
    is_in_use,
    newest_bar,
    open_reader,
    read_candles_between,
    reading_from,
    require_writable,
    resume_account,
)
from bot.market import Candle, Feed, reconcile
from bot.model import describe, named_model
from bot.observers import BACKWARD, check_addresses
from bot.redact import redact_url
from bot.service import SKEW_WARNING, STALE_BARS, feeds_of, load_traders, paused_accounts
from bot.settings import Settings
from bot.trading import Trader, terms_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `doctor`."""
    add_config(parser)
    add_json(parser)
    parser.epilog = "Exits with the code of the first check that fails.\n\nexample: hourhand doctor"


def call(parsed_args: Namespace) -> int:
    """Check one thing after the other; the exit code of the first that fails."""
    settings, clock = read_settings(parsed_args)
    open_feed = feeds_of(clock)
    markets = [(market, open_feed(market)) for market in settings.each_market()]
    named = [f"{market.account.name!r} on {market.market}" for market, _ in markets]
    checks: dict[str, Callable[[], str]] = {
        "settings": lambda: f"account {', '.join(named)}",
        "ledger": lambda: _ledger(settings),
        "model": lambda: _model(settings),
        "accounts": lambda: _accounts(settings, clock),
        "notifications": lambda: f"addresses: {check_addresses(settings)}",
    }
    for market, feed in markets:
        suffix = "" if market.account.name == settings.account.name else f" {market.account.name}"
        if suffix and market.policy.model != settings.policy.model:
            checks[f"model{suffix}"] = partial(_model, market)
        checks[f"exchange{suffix}"] = partial(_exchange, feed, market, clock)
        checks[f"clock{suffix}"] = partial(_clock, feed)
    results = [_result(name, check) for name, check in checks.items()]
    code = next((result["exit_code"] for result in results if not result["ok"]), 0)
    if parsed_args.json:
        print_result({"ok": code == 0, "checks": results}, as_json=True)
    else:
        print_table(("", "check", "result"), (("ok" if r["ok"] else "!!", r["name"], r["detail"]) for r in results))
    return int(code)


def _result(name: str, check: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "detail": check(), "exit_code": 0}
    except HourhandError as error:
        return {"name": name, "ok": False, "detail": str(error), "exit_code": error.exit_code}


def _ledger(settings: Settings) -> str:
    url = settings.ledger.url
    require_writable(url)
    if not _is_there(url):
        return f"{redact_url(url)} is missing or of an older version; `hourhand run` creates or migrates it"
    return f"{redact_url(url)}, {'in use by a daemon' if is_in_use(url) else 'not in use'}"


def _is_there(url: str) -> bool:
    try:
        open_reader(url).close()
    except LedgerError as error:
        if "`hourhand run`" in str(error):  # which makes the ledger, or brings it up to date
            return False
        raise
    return True


def _model(settings: Settings) -> str:
    model = named_model(settings.policy.model)
    wanted, given = Trader(terms_of(settings), model).warmup_bars(None), settings.schedule.warmup_bars
    told = f"{model.model_id}, {describe(model)}, from {settings.policy.model}"
    if given is None or given >= wanted:
        return told
    return f"{told}; it wants {wanted:,} bars of warm-up, and schedule.warmup_bars gives it {given:,}"


def _accounts(settings: Settings, clock: Clock) -> str:
    """What `run` refuses before its first poll."""
    traders = load_traders(settings)
    names = ", ".join(trader.terms.name for trader in traders)
    paused = sorted(paused_accounts(settings))
    asked = f"; paused: {', '.join(paused)}" if paused else ""
    if not _is_there(settings.ledger.url):
        return f"{names}: new{asked}"
    with reading_from(settings.ledger.url) as connection:
        check_practice(connection, clock.simulated, clock.now())
        for trader in traders:
            check_name(connection, trader.terms.name)
        states = [
            resume_account(connection, trader, trader.warmup_bars(settings.schedule.warmup_bars)) for trader in traders
        ]
    bars = [(state.bar_time, state.trader.terms.bar) for state in states if state.bar_time is not None]
    for bar_time, bar in bars:
        if clock.now() < bar_time + bar - BACKWARD:
            raise UsageError(
                f"the clock says {utc(clock.now())}, and the newest decided bar is of {utc(bar_time)}: nothing is "
                "decided until then; set the clock, or use another ledger.url"
            )
    return f"{names}: {len(bars)} of {len(states)} with decided bars{asked}"


def _exchange(feed: Feed, settings: Settings, clock: Clock) -> str:
    bar = settings.bar
    stored = _stored(settings)
    since = newest_closed(clock.now(), bar) - STALE_BARS * bar
    first = time.perf_counter()
    fetched = feed.closed_candles(min([since, *(candle.bar_time for candle in stored[:1])]))
    milliseconds = 1000 * (time.perf_counter() - first)
    reconcile.require_same_market(stored, fetched)
    newest = utc(fetched[-1].bar_time)
    return f"{settings.market}: newest closed candle {newest}, answered in {milliseconds:.0f} ms"


def _stored(settings: Settings) -> list[Candle]:
    """The ledger's newest candles, to compare with the exchange's; none where there is no ledger to read."""
    try:
        ledger = open_reader(settings.ledger.url)
    except HourhandError:
        return []  # the check of the ledger says why
    try:
        with ledger.reading() as connection:
            newest = newest_bar(connection, settings.market)
            if newest is None:
                return []
            first = newest - (reconcile.OVERLAP - 1) * settings.bar
            return read_candles_between(connection, settings.market, first, newest + 1)
    finally:
        ledger.close()


def _clock(feed: Feed) -> str:
    skew = feed.skew
    if skew is None:
        return "the exchange sent no time"
    if abs(skew) > SKEW_WARNING:
        raise ExchangeError(f"this clock is {skew:+.0f} s off the exchange's: set it (for example with NTP)")
    return f"{skew:+.0f} s from the exchange's"
