"""`hourhand run`."""

import signal
from argparse import ArgumentParser, Namespace

from bot.clock import Clock
from bot.commands.common import add_config, add_json, read_settings, show
from bot.daemon import Models, call_on, poll_once, run
from bot.exchange import Feed
from bot.ledger.store import open_writer
from bot.log import set_up
from bot.observers import Observers, attended
from bot.poller import Poller
from bot.settings import Settings
from bot.waiting import Stopped, Waiter


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `run`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--once", action="store_true", help="one poll: decide every closed candle that is not, and end")
    parser.epilog = "example: hourhand run --config config/bot.toml\n         hourhand run --once --json"


def call(options: Namespace) -> int:
    """Run the daemon until it is stopped, or one poll."""
    settings, clock = read_settings(options)
    set_up(clock.now)
    with attended(settings, clock, stays=not options.once) as observers:
        _run(options, settings, clock, observers)
    return 0


def _run(options: Namespace, settings: Settings, clock: Clock, observers: Observers) -> None:
    waiter = Waiter()
    call_on((signal.SIGTERM, signal.SIGINT), waiter.stop)
    feed = Feed(settings.exchange, clock)
    models = Models(settings)

    def look_again() -> None:
        models.again()
        waiter.wake()

    call_on((signal.SIGHUP,), look_again)
    ledger = open_writer(settings.ledger.url)
    try:
        poller = Poller(settings, clock, ledger, models.traders, feed, waiter, observers)
        if options.once:
            _once(options, poller)
        else:
            run(poller, settings.schedule.poll_delay_seconds, models)
    finally:
        ledger.close()


def _once(options: Namespace, poller: Poller) -> None:
    try:
        bars = poll_once(poller)
    except Stopped:
        bars = 0
    show({"bars": bars, "bar_time": poller.standings[0].bar_time}, as_json=options.json)
