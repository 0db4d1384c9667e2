"""`hourhand run`."""

import signal
from argparse import ArgumentParser, Namespace

from bot.commands.common import add_config, add_json, read_settings, show
from bot.daemon import Models, call_on, poll_once, run
from bot.exchange import Feed
from bot.ledger.store import open_writer
from bot.log import set_up
from bot.poller import Poller
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
        poller = Poller(settings, clock, ledger, models.traders, feed, waiter)
        if options.once:
            return _once(options, poller)
        run(poller, settings.schedule.poll_delay_seconds, models)
    finally:
        ledger.close()
    return 0


def _once(options: Namespace, poller: Poller) -> int:
    try:
        bars = poll_once(poller)
    except Stopped:
        bars = 0
    show({"bars": bars, "bar_time": poller.standings[0].bar_time}, as_json=options.json)
    return 0
