"""`hourhand report`."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from sqlalchemy import select

from bot.commands.account_option import add_market, market_name
from bot.console import add_accounts, add_config, add_json, print_result, read_settings
from bot.errors import UsageError
from bot.ledger import reading_from, tables
from bot.model import in_sample_warning
from bot.report import Event, account_statistics, align_histories, read_histories, render_page


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `report`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="the page; overwrites an old one")
    add_accounts(parser)
    add_market(parser)
    parser.epilog = (
        "Writes one self-contained file: value against holding and the constant mix, price with the trades, share in\n"
        "coins, drawdown, probabilities, costs, months, models and events, for several accounts side by side.\n\n"
        "example: hourhand report --out report.html"
    )


def call(parsed_args: Namespace) -> int:
    """Write the page."""
    settings, clock = read_settings(parsed_args)
    with reading_from(settings.ledger.url) as connection:
        histories = read_histories(connection, market_name(parsed_args, settings), parsed_args.account)
        aligned, left_out = align_histories(histories)
        e = tables.events.c
        events = [Event(*row) for row in connection.execute(select(e.at, e.kind, e.detail).order_by(e.id))]
    text = render_page(histories, aligned, events, clock.now(), left_out).encode()
    try:
        parsed_args.out.write_bytes(text)
    except OSError as error:
        raise UsageError(f"report: {parsed_args.out} cannot be written: {error.strerror}") from error
    result = {"out": str(parsed_args.out), "bytes": len(text)}
    first = account_statistics(histories[0])
    warning = in_sample_warning(first["in_sample_bars"], first["bars"])
    if warning:
        sys.stderr.write(f"{warning}\n")
    if parsed_args.json:
        print_result({**result, "accounts": [account_statistics(history) for history in histories]}, as_json=True)
    else:
        print_result(result, as_json=False)
    return 0
