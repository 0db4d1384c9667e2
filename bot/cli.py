"""The command `hourhand`: finds the subcommand, loads only what that one needs, and turns failures into exit codes."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from bot import __version__
from bot.errors import HourhandError

_INTERRUPTED: Final = 130

COMMANDS: Final = {
    "run": "the daemon: poll, decide, trade on paper, for as long as it is left to run",
    "status": "where the account stands",
    "health": "whether bars are decided in time, as a sentence and an exit code",
    "trades": "what was bought and sold",
    "export": "a table of the ledger as CSV, JSON or Parquet",
    "replay": "the same trader over a file of candles",
    "verify": "prove the ledger: derive every row again and compare",
    "backup": "a consistent copy of the ledger, also while the daemon runs",
    "compare": "the accounts of the ledger against each other and holding",
    "report": "one page with charts, figures and months, for a browser",
    "models": "the registry: list, show, publish, promote, rollback, shadow",
    "doctor": "check settings, ledger, model, exchange and clock",
    "simulate": "an exchange on this machine to practise on, with faults that can be switched on",
    "demo": "everything at once, offline, in about a minute",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code (see the README for what each means)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="hourhand",
        description="An hourly Bitcoin paper trader with a learned policy and a ledger that proves itself.",
        epilog="example: hourhand demo          each command: hourhand COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"hourhand {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, description=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == chosen:
            module = importlib.import_module(f"bot.commands.{name}")
            module.add_arguments(command)
            command.set_defaults(call=module.call)
    options = parser.parse_args(arguments)
    try:
        code: int = options.call(options)
        sys.stdout.flush()
    except HourhandError as error:
        print(f"hourhand: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone: `hourhand trades | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
