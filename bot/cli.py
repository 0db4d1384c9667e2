"""The command `hourhand`: finds the subcommand, loads only what that one needs, and turns failures into exit codes."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
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

Adder = Callable[[argparse.ArgumentParser], object]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `hourhand`; the exit code (see the README for what each means)."""
    description = "An hourly Bitcoin paper trader with a learned policy and a ledger that proves itself."
    parser = argparse.ArgumentParser(
        "hourhand",
        description=description,
        epilog="example: hourhand demo          each command: hourhand COMMAND --help",
    )
    return dispatch(parser, COMMANDS, _adder, argv)


def _adder(name: str) -> Adder:
    module = importlib.import_module(f"bot.commands.{name}")

    def add(parser: argparse.ArgumentParser) -> None:
        module.add_arguments(parser)
        parser.set_defaults(run=module.call)

    return add


def dispatch(
    parser: argparse.ArgumentParser,
    summaries: Mapping[str, str],
    adder: Callable[[str], Adder],
    argv: Sequence[str] | None,
) -> int:
    """Run one of the subcommands in `summaries`, and return its exit code, also where it fails.

    `adder(name)` is asked for the one that was called alone, so that nothing else is loaded; what it returns adds the
    arguments and sets the default `run` to a function from parsed arguments to an exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser.add_argument("--version", action="version", version=f"{parser.prog} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in summaries.items():
        raw = argparse.RawDescriptionHelpFormatter
        command = commands.add_parser(name, help=summary, description=summary, formatter_class=raw, allow_abbrev=False)
        if words[:1] == [name]:
            adder(name)(command)
    options = parser.parse_args(words)
    try:
        code = int(options.run(options))
        sys.stdout.flush()
    except HourhandError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone: `hourhand trades | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
