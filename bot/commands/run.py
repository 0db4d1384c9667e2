"""`hourhand run`."""

import signal
from argparse import ArgumentParser, Namespace
from typing import Any

from bot.clock import Clock
from bot.console import add_config, add_json, print_result, read_settings
from bot.ledger import mark_practice, open_writer
from bot.log import add_log_options, set_up
from bot.observers import Observers, attended
from bot.service import (
    Attempt,
    Markets,
    Stopped,
    TraderWatcher,
    Waiter,
    call_on,
    feeds_of,
    poll_once,
    raise_failures,
    run,
    wait_for_ledger,
)
from bot.settings import Settings


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `run`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--once", action="store_true", help="one poll: decide every undecided closed candle, then exit")
    add_log_options(parser)
    parser.epilog = "example: hourhand run --config config/bot.toml\n         hourhand run --once --json"


def call(parsed_args: Namespace) -> int:
    """Run the daemon until it is stopped, or one poll."""
    settings, clock = read_settings(parsed_args)
    set_up(clock.now, level=parsed_args.log_level, file=parsed_args.log_file)
    with attended(settings, clock, stays=not parsed_args.once) as observers:
        _run(parsed_args, settings, clock, observers)
    return 0


def _run(parsed_args: Namespace, settings: Settings, clock: Clock, observers: Observers) -> None:
    waiter = Waiter()
    call_on((signal.SIGTERM, signal.SIGINT), waiter.stop)
    open_feed = feeds_of(clock)
    for market in settings.each_market():
        open_feed(market)  # what ccxt cannot serve is said before the ledger is opened
    watcher = TraderWatcher(settings, lambda: read_settings(parsed_args)[0])

    def recheck() -> None:
        watcher.recheck()
        waiter.wake()

    def start() -> Markets:
        ledger = open_writer(settings.ledger.url)
        try:
            with ledger.writing() as connection:
                mark_practice(connection, clock.simulated, clock.now())
            return Markets(watcher, clock, ledger, open_feed, observers)
        except BaseException:
            ledger.close()
            raise

    call_on((signal.SIGHUP,), recheck)
    try:
        markets = start() if parsed_args.once else wait_for_ledger(start, clock, waiter, observers)
    except Stopped:
        return
    try:
        if parsed_args.once:
            _once(parsed_args, markets, waiter)
        else:
            run(markets, settings.schedule.poll_delay_seconds, waiter)
    finally:
        markets.ledger.close()


def _once(parsed_args: Namespace, markets: Markets, waiter: Waiter) -> None:
    attempts = poll_once([market.poller for market in markets], waiter)
    failed = [attempt for attempt in attempts if attempt.error is not None]
    if len(failed) < len(attempts):
        result: dict[str, Any] = {"bars": sum(attempt.bars for attempt in attempts)}
        result["bar_time"] = markets.first.account_states[0].bar_time
        if len(attempts) > 1 and parsed_args.json:
            result["markets"] = [_outcome(attempt) for attempt in attempts]
        elif len(attempts) > 1:
            result |= {"markets": len(attempts), "not_decided": [attempt.poller.name for attempt in failed]}
        print_result(result, as_json=parsed_args.json)
    raise_failures(attempts)


def _outcome(attempt: Attempt) -> dict[str, Any]:
    newest = attempt.poller.account_states[0].bar_time
    error = None if attempt.error is None else str(attempt.error)
    return {"account": attempt.poller.name, "bars": attempt.bars, "bar_time": newest, "error": error}
