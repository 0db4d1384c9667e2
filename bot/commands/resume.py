"""`hourhand resume`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bot.commands.pausing import accounts_meant, add_pause_arguments, print_paused
from bot.console import read_settings
from bot.model import pauses


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `resume`."""
    add_pause_arguments(parser)
    parser.epilog = (
        "The end of `hourhand pause`: the next bar is traded on again.\n\n"
        "example: hourhand resume\n         hourhand resume --account cautious"
    )


def call(parsed_args: Namespace) -> int:
    """Ask for the end of a pause."""
    settings, _ = read_settings(parsed_args)
    pointer = Path(settings.policy.model)
    accounts = accounts_meant(parsed_args, settings) if parsed_args.account else list(pauses.read_paused(pointer))
    print_paused(pauses.resume(pointer, accounts), as_json=parsed_args.json)
    return 0
