"""`hourhand run`."""

import signal
from argparse import ArgumentParser, Namespace

from bot.clock import Clock
from bot.console import add_config, add_json, print_result, read_settings
from bot.ledger import mark_practice, open_writer
from bot.log import add_log_options, set_up
from bot.market import Feed
from bot.observers import Observers, attended
from bot.service import Poller, Stopped, TraderWatcher, Waiter, call_on, poll_once, run, wait_for_ledger
from bot.settings import Settings


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `run`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--once", action="store_true", help="one poll: decide every closed candle that is not, and end")
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
    feed = Feed(settings.exchange, clock)
    watcher = TraderWatcher(settings)

    def recheck() -> None:
        watcher.recheck()
        waiter.wake()

    def start() -> Poller:
        ledger = open_writer(settings.ledger.url)
        try:
            with ledger.writing() as connection:
                mark_practice(connection, clock.simulated, clock.now())
            return Poller(settings, clock, ledger, watcher.traders, feed, waiter, observers)
        except BaseException:
            ledger.close()
            raise

    call_on((signal.SIGHUP,), recheck)
    try:
        poller = start() if parsed_args.once else wait_for_ledger(start, clock, waiter, observers)
    except Stopped:
        return
    try:
        if parsed_args.once:
            _once(parsed_args, poller)
        else:
            run(poller, settings.schedule.poll_delay_seconds, watcher)
    finally:
        poller.ledger.close()


def _once(parsed_args: Namespace, poller: Poller) -> None:
    try:
        bars = poll_once(poller)
    except Stopped:
        bars = 0
    print_result({"bars": bars, "bar_time": poller.account_states[0].bar_time}, as_json=parsed_args.json)
