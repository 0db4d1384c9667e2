"""The command `hourhand-train`: finds the subcommand, and turns failures into a sentence and an exit code."""

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from bot.cli import Adder, dispatch

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
    parser = argparse.ArgumentParser(
        "hourhand-train",
        description="Everything offline: candles, training, evaluation.",
        epilog="example: hourhand-train candles btcusd_1h.parquet",
    )
    return dispatch(parser, {name: summary for name, (_, summary) in COMMANDS.items()}, _adder, argv)


def _adder(name: str) -> Adder:
    adder: Adder = getattr(import_module(COMMANDS[name][0]), f"add_{name}")
    return adder
