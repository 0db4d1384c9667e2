"""The command `hourhand-train`: finds the subcommand, and turns failures into a sentence and an exit code."""

from collections.abc import Sequence
from typing import Final

from bot.cli import Parser, command_loader, dispatch

COMMANDS: Final = {
    "download": "fetch an exchange's candles into a file",
    "import": "read other programs' candles, check them, and write them to one file",
    "candles": "describe a file of candles",
    "train": "train a model",
    "evaluate": "compare a model with its baselines",
    "bounds": "measure the default training on synthetic markets with a known answer",
    "walkforward": "train before each year, test on it next to rivals, and judge the result",
    "sweep": "try settings, each judged by walk-forward",
    "refresh": "download, train, evaluate, publish, and promote through the gate",
    "article": "run the article's whole experiment, with its charts",
    "bench": "compare the trainer's speed with that of other implementations",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `hourhand-train` with `argv` (the process's own by default) and return the exit code."""
    parser = Parser(
        "hourhand-train",
        description="Everything offline: candles, training, evaluation.",
        epilog="example: hourhand-train candles btcusd_1h.parquet",
    )
    return dispatch(parser, COMMANDS, command_loader("training.commands"), argv)
