"""The command `hourhand-train`: finds the subcommand, and turns failures into a sentence and an exit code."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from bot.errors import HourhandError

COMMANDS: Final = {
    "download": ("training.download", "fetch an exchange's candles into a file"),
    "import": ("training.candles", "turn a file of candles into Parquet"),
    "candles": ("training.candles", "describe a file of candles"),
    "train": ("training.train", "train a model"),
    "evaluate": ("training.evaluate", "measure a model beside its baselines"),
    "refresh": ("training.refresh", "download, train, evaluate, publish, and promote if better"),
    "article": ("training.experiment", "the article's whole experiment, with its charts"),
    "bench": ("training.bench", "measure the trainer's speed beside others"),
}
"""Each subcommand's module, and what it does. The module has `add_NAME(parser)`, which adds the arguments and sets the
default `run` to a function from parsed arguments to an exit code. Only the module that is asked for is loaded."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `hourhand-train` with `argv` (the process's own by default) and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="hourhand-train",
        description="Everything offline: candles, training, evaluation.",
        epilog="example: hourhand-train candles btcusd_1h.parquet",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        raw = argparse.RawDescriptionHelpFormatter
        command = commands.add_parser(name, help=summary, formatter_class=raw, allow_abbrev=False)
        if words[:1] == [name]:
            getattr(import_module(module), f"add_{name}")(command)
    arguments = parser.parse_args(words)
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
    except HourhandError as error:
        sys.stderr.write(f"hourhand-train {arguments.command}: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"hourhand-train {arguments.command}: stopped\n")
        return 130
    except BrokenPipeError:  # the reader of our output has gone: `hourhand-train candles FILE | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
