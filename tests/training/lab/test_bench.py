"""The parts of the speed comparison that no machine changes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.market import Candle
from training.cli import main
from training.data import Origin, write_file
from training.lab.bench import step_flop
from training.learner import load_training_settings


def test_operations_of_a_step_are_counted_by_hand() -> None:
    """The first layer 64 x 8, the gates 128 x 97, the heads 4 x 33; one pass to play, three to learn, forward and
    twice that backward; two operations for a multiplication and its addition."""
    assert step_flop(load_training_settings(preset="bench")) == 2 * (64 * 8 + 128 * 97 + 4 * 33) * (1 + 3 * 3)


def test_more_cores_than_there_are_is_wrong_usage(
    tmp_path: Path, walk: Callable[..., list[Candle]], capsys: pytest.CaptureFixture[str]
) -> None:
    write_file(tmp_path / "candles.csv", walk(50), Origin())
    assert main(["bench", "--candles", str(tmp_path / "candles.csv"), "--threads", "4096"]) == 2
    assert "--threads" in capsys.readouterr().err
