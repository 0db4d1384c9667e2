"""`hourhand health`."""

from argparse import ArgumentParser, Namespace

from bot.console import add_config, add_json, print_result, read_settings
from bot.errors import LedgerError
from bot.ledger import account_summary, reading_from
from bot.observers import NewestBar, check_markets, unknown


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `health`."""
    add_config(parser)
    add_json(parser)
    parser.epilog = (
        "Exits with 0 if bars are decided in time and with 1 if not, whether or not a process is running. In time\n"
        "means that the newest decided bar closed no longer ago than one bar plus schedule.poll_delay_seconds plus\n"
        "schedule.max_decision_delay_seconds.\n\nexample: hourhand health"
    )


def call(parsed_args: Namespace) -> int:
    """Print one sentence; 0 healthy, 1 not."""
    settings, clock = read_settings(parsed_args)
    try:
        with reading_from(settings.ledger.url) as connection:
            newest = {
                name: NewestBar(market.bar, account_summary(connection, name)["bar_time"])
                for name, market in ((market.account.name, market) for market in settings.each_market())
            }
        verdict = check_markets(newest, clock.now(), settings)
    except LedgerError as error:
        verdict = unknown(str(error), settings)
    if parsed_args.json:
        print_result(verdict._asdict(), as_json=True)
    else:
        print(verdict.sentence)
    return 0 if verdict.healthy else 1
