"""`hourhand pause`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bot.commands.pausing import accounts_meant, add_pause_arguments, print_paused
from bot.console import read_settings
from bot.model import pauses


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `pause`."""
    add_pause_arguments(parser)
    parser.epilog = (
        "A running daemon notices within seconds. It goes on observing each bar, writes it with the reason `paused`,\n"
        "and trades on none until `hourhand resume`. Where no daemon runs, the next one begins paused.\n\n"
        "example: hourhand pause\n         hourhand pause --account cautious"
    )


def call(parsed_args: Namespace) -> int:
    """Ask for a pause, in the file beside the registry's pointer."""
    settings, clock = read_settings(parsed_args)
    accounts = accounts_meant(parsed_args, settings)
    print_paused(pauses.pause(Path(settings.policy.model), accounts, clock.now()), as_json=parsed_args.json)
    return 0
