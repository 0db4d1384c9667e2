"""`hourhand trades`."""

from argparse import ArgumentParser, Namespace

from bot.clock import utc
from bot.commands.common import add_config, add_json, read_settings, show
from bot.commands.tables import show_table
from bot.ledger import reading
from bot.ledger.store import open_reader


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `trades`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--account", help="another account than account.name")
    parser.add_argument("--last", type=int, metavar="N", help="only the newest N")
    parser.epilog = "example: hourhand trades --last 10"


def call(options: Namespace) -> int:
    """Print the account's fills, oldest first."""
    settings, _ = read_settings(options)
    account = options.account or settings.account.name
    ledger = open_reader(settings.ledger.url)
    with ledger.reading() as connection:
        fills = [fill for _, fill in sorted(reading.fills_of(connection, account).items())]
    ledger.close()
    fills = fills[-options.last :] if options.last else fills
    if options.json:
        show({"account": account, "trades": [fill._asdict() for fill in fills]}, as_json=True)
    elif fills:
        show_table(("bar", *fills[0]._fields[1:]), ((utc(fill.bar_time), *fill[1:]) for fill in fills))
    else:
        print(f"account {account} has not traded yet")
    return 0
