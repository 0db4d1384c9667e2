"""`hourhand verify`."""

from argparse import ArgumentParser, Namespace
from typing import Final

from bot.console import add_config, add_json, print_result, progress, read_settings
from bot.errors import LedgerError, UsageError
from bot.ledger import holds, reading_from, verify
from bot.redact import printable

_SHOWN: Final = 100


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `verify`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--ledger", metavar="URL", help="this ledger instead of ledger.url")
    parser.add_argument(
        "--holds",
        action="append",
        default=[],
        metavar="LINK",
        help="a link of the chain that you kept elsewhere and that the ledger must contain; may be repeated",
    )
    parser.epilog = (
        "Derives every observation, probability, action, fill and balance again from the stored candles, models and\n"
        "account, and compares bit for bit, the hash chain included. Exits with 4 if anything differs, or if a link\n"
        "of --holds is in no account's chain: then bars were erased or rewritten. `hourhand status` prints the newest\n"
        "link.\n\nexample: hourhand verify"
    )


def call(parsed_args: Namespace) -> int:
    """Verify the ledger; 0 or LedgerError's exit code."""
    settings, _ = read_settings(parsed_args)
    if parsed_args.ledger == "":
        raise UsageError("verify: --ledger is empty: name a ledger, for example sqlite:///var/ledger.sqlite")
    with reading_from(parsed_args.ledger or settings.ledger.url) as connection, progress("verify", None) as update:
        verdict = verify(connection, update)
        missing = [link for link in parsed_args.holds if not holds(connection, link.strip().lower())]
    differences = [*verdict.differences, *(f"the link {link} is in no account's chain" for link in missing)]
    result = {"bars": verdict.bars, "differences": len(differences)}
    if parsed_args.json:
        print_result(result | {"details": differences[:_SHOWN]}, as_json=True)
    elif not verdict.bars and not differences:
        print("the ledger is empty: it has no decided bar to verify")
    else:
        print_result(result, as_json=False)
        for difference in differences[:_SHOWN]:
            print(printable(difference))
    return LedgerError.exit_code if differences else 0
