"""`hourhand trades`."""

from argparse import ArgumentParser, Namespace

from bot.clock import utc
from bot.commands.account_option import account_name, add_account
from bot.console import add_config, add_json, print_result, print_table, read_settings
from bot.errors import UsageError
from bot.ledger import SMALL_FILL, read_fills, reading_from
from bot.redact import printable


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `trades`."""
    add_config(parser)
    add_json(parser)
    add_account(parser)
    parser.add_argument("--last", type=int, metavar="N", help="only the newest N")
    parser.epilog = "example: hourhand trades --last 10"


def call(parsed_args: Namespace) -> int:
    """Print the account's fills, oldest first."""
    settings, _ = read_settings(parsed_args)
    if parsed_args.last is not None and parsed_args.last < 1:
        raise UsageError(f"trades: --last {parsed_args.last}: give 1 or more")
    with reading_from(settings.ledger.url) as connection:
        account = account_name(connection, parsed_args, settings)
        fills = [fill for _, fill in sorted(read_fills(connection, account).items())]
    count, small = len(fills), sum(fill.cost < SMALL_FILL for fill in fills)
    fills = fills[-parsed_args.last :] if parsed_args.last else fills
    if parsed_args.json:
        print_result(
            {"account": account, "below_ten": small, "trades": [fill._asdict() for fill in fills]}, as_json=True
        )
    elif fills:
        print_table(("bar", *fills[0]._fields[1:]), ((utc(fill.bar_time), *fill[1:]) for fill in fills))
        print(f"{small} of {count} fills moved less than {SMALL_FILL:g} in quote currency")
    else:
        print(f"account {printable(account)} has not traded yet")
    return 0
