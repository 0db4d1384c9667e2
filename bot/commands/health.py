"""`hourhand health`."""

from argparse import ArgumentParser, Namespace

from bot.console import add_config, add_json, print_result, read_settings
from bot.errors import LedgerError
from bot.ledger import account_summary, open_reader
from bot.observers import check_health, unknown


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `health`."""
    add_config(parser)
    add_json(parser)
    parser.epilog = (
        "Ends with 0 where bars are decided in time, with 1 where they are not, whatever processes live: the newest\n"
        "decided bar may have closed as long ago as a bar, schedule.poll_delay_seconds and\n"
        "schedule.max_decision_delay_seconds together.\n\nexample: hourhand health"
    )


def call(options: Namespace) -> int:
    """Print one sentence; 0 healthy, 1 not."""
    settings, clock = read_settings(options)
    try:
        ledger = open_reader(settings.ledger.url)
        with ledger.reading() as connection:
            told = account_summary(connection, settings.account.name)
        ledger.close()
        verdict = check_health(told["bar_time"], clock.now(), settings)
    except LedgerError as error:
        verdict = unknown(str(error), settings)
    if options.json:
        print_result(verdict._asdict(), as_json=True)
    else:
        print(verdict.sentence)
    return 0 if verdict.healthy else 1
