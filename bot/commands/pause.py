"""`hourhand pause`."""

from argparse import ArgumentParser, Namespace

from bot.commands.pausing import accounts_meant, add_pause_arguments, print_paused
from bot.console import read_settings
from bot.service import ask_to_pause


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `pause`."""
    add_pause_arguments(parser)
    parser.epilog = (
        "A running daemon notices within seconds. It continues to observe each bar and writes it with the reason\n"
        "`paused`, but does not trade until `hourhand resume`. If no daemon is running, the next one starts paused.\n\n"
        "example: hourhand pause\n         hourhand pause --account cautious"
    )


def call(parsed_args: Namespace) -> int:
    """Ask for a pause, in the file beside the registry's pointer."""
    settings, clock = read_settings(parsed_args)
    paused = ask_to_pause(settings, accounts_meant(parsed_args, settings), clock.now())
    print_paused(paused, as_json=parsed_args.json)
    return 0
