"""The command `hourhand`: finds the subcommand, loads only what that one needs, and turns failures into exit codes."""

import argparse
import importlib
import keyword
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from bot import __version__
from bot.errors import HourhandError, UsageError
from bot.extras import extras_required
from bot.output import tolerant_streams
from bot.redact import one_line, redact

_INTERRUPTED: Final = 130

COMMANDS: Final = {
    "init": "write settings and the shipped model into this folder",
    "run": "the daemon: poll, decide and trade on paper until stopped",
    "pause": "observe bars without trading on them, until `resume`",
    "resume": "trade again after `pause`",
    "status": "the account now: balance, coins, value, and whether the daemon keeps up",
    "health": "whether bars are decided in time, as a sentence and an exit code",
    "trades": "list every buy and sell",
    "export": "write a table of the ledger as CSV, JSON or Parquet",
    "replay": "run the same trader over a file of candles",
    "verify": "prove the ledger: derive every row again and compare",
    "backup": "copy the ledger, even while the daemon runs",
    "restore": "put a backup in the ledger's place",
    "compare": "compare the accounts of the ledger with each other and with holding",
    "serve": "serve a live page and an API beside the daemon",
    "report": "write one HTML page with charts, statistics and months",
    "models": "the registry: list, show, publish, promote, rollback, shadow",
    "doctor": "check settings, ledger, model, exchange and clock",
    "simulate": "serve an exchange on this machine to practise on, with faults to switch on",
    "demo": "show everything, offline, in about a minute",
    "completion": "print the completion script for bash, zsh or fish",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors repeat no secret and no control character from the command line."""

    def error(self, message: str) -> NoReturn:
        """End with the message and 2."""
        super().error(one_line(message))


AddArguments = Callable[[argparse.ArgumentParser], object]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `hourhand`; the exit code (see the README for what each means)."""
    description = "An hourly Bitcoin paper trader for learned policies, with a ledger that proves itself."
    parser = Parser(
        "hourhand",
        description=description,
        epilog="example: hourhand demo          each command: hourhand COMMAND --help",
    )
    return dispatch(parser, COMMANDS, command_loader("bot.commands"), argv)


def command_loader(package: str) -> Callable[[str], AddArguments]:
    """A function that imports the module of a subcommand and returns what adds its arguments.

    The module is `package.NAME`, with `_` after a name that is a Python keyword; it has `add_arguments(parser)` and
    `call(parsed_args) -> exit code`.
    """

    def load(name: str) -> AddArguments:
        module = importlib.import_module(f"{package}.{name}{'_' if keyword.iskeyword(name) else ''}")

        def add(parser: argparse.ArgumentParser) -> None:
            module.add_arguments(parser)
            parser.set_defaults(run=module.call)

        return add

    return load


def dispatch(
    parser: argparse.ArgumentParser,
    summaries: Mapping[str, str],
    load_command: Callable[[str], AddArguments],
    argv: Sequence[str] | None,
) -> int:
    """Run one of the subcommands in `summaries`, and return its exit code, also where it fails.

    Only the subcommand that was called is loaded: `load_command(name)` returns what adds its arguments and sets the
    default `run` to a function from parsed arguments to an exit code.
    """
    with tolerant_streams() as output:
        code = _run(parser, summaries, load_command, _words(argv))
        output.flush()
        if output.full:
            _print_error(parser, f"standard output cannot be written: {_reason(output.error)}")
    return code


def _words(argv: Sequence[str] | None) -> list[str]:
    """The words after the program's name, by default the process's own; those that a shell asks to be completed."""
    if argv is not None or "_ARGCOMPLETE" not in os.environ:
        return list(sys.argv[1:] if argv is None else argv)
    line = os.environ.get("COMP_LINE", "")
    try:
        return shlex.split(line)[1:]
    except ValueError:  # an open quote
        return line.split()[1:]


def _run(
    parser: argparse.ArgumentParser,
    summaries: Mapping[str, str],
    load_command: Callable[[str], AddArguments],
    words: list[str],
) -> int:
    parser.add_argument("--version", action="version", version=f"{parser.prog} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in summaries.items():
        raw = argparse.RawDescriptionHelpFormatter
        command = commands.add_parser(name, help=summary, description=summary, formatter_class=raw, allow_abbrev=False)
        if words[:1] == [name]:
            load_command(name)(command)
    try:
        if "_ARGCOMPLETE" in os.environ:
            import argcomplete  # noqa: PLC0415 - only for completion

            argcomplete.autocomplete(parser, always_complete_options="long")  # which ends the process
        parsed_args = parser.parse_args(words)
        with extras_required(parser.prog):
            return int(parsed_args.run(parsed_args))
    except HourhandError as error:
        _print_error(parser, str(error))
        return error.exit_code
    except UnicodeEncodeError:  # bytes that are no text, in an argument
        _print_error(parser, "an argument is not UTF-8")
        return UsageError.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception:  # noqa: BLE001 - unexpected: shown whole, but without secrets
        sys.stderr.write(redact(traceback.format_exc()))
        return HourhandError.exit_code


def _print_error(parser: argparse.ArgumentParser, sentence: str) -> None:
    sys.stderr.write(f"{parser.prog}: {one_line(sentence)}\n")


def _reason(error: Exception | None) -> str:
    return getattr(error, "strerror", None) or str(error)
