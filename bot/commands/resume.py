"""`hourhand resume`."""

from argparse import ArgumentParser, Namespace

from bot.commands.pausing import accounts_meant, add_pause_arguments, print_paused
from bot.console import read_settings
from bot.service import ask_to_resume, paused_accounts


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `resume`."""
    add_pause_arguments(parser)
    parser.epilog = (
        "Ends `hourhand pause`: the next bar is traded on again.\n\n"
        "example: hourhand resume\n         hourhand resume --account cautious"
    )


def call(parsed_args: Namespace) -> int:
    """Ask for the end of a pause."""
    settings, _ = read_settings(parsed_args)
    accounts = accounts_meant(parsed_args, settings) if parsed_args.account else list(paused_accounts(settings))
    print_paused(ask_to_resume(settings, accounts), as_json=parsed_args.json)
    return 0
