"""`hourhand-train bounds`: what it says of a training, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.market import Candle
from training.cli import main
from training.data import Origin, write_file
from training.lab.bounds import judged, regimes, shuffled
from training.learner import parse

Walk = Callable[..., list[Candle]]
SMALL = {
    "network": {"fc1": 8, "lstm": 8},
    "windows": {"count": 4, "length": 50},
    "ppo": {"steps": 800},
    "blocks": {"count": 2, "embargo": 24},
}


def test_the_account_of_the_settings_is_the_one_that_is_judged() -> None:
    usual, dear = (
        judged(regimes(1200, 1), parse({**SMALL, "account": {"commission": commission}}), 1, held_out=400)
        for commission in (0.001, 0.01)
    )
    assert usual["evidence"] is dear["evidence"] is False
    assert dear["cost_a_year"] == pytest.approx(10 * usual["cost_a_year"], rel=0.2)


def test_hours_in_random_order_are_the_same_hours(walk: Walk) -> None:
    candles = walk(200)
    noise = shuffled(candles, 3).candles
    assert sorted(candle.volume for candle in noise) == sorted(candle.volume for candle in candles)
    assert noise[-1].close / candles[0].open == pytest.approx(candles[-1].close / candles[0].open)


def test_too_few_candles_are_refused(walk: Walk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_file(tmp_path / "candles.csv", walk(200), Origin())
    assert main(["bounds", "--candles", str(tmp_path / "candles.csv")]) == 2
    assert "200 candles are too few: the last 12,000 are held out" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--draws", "0"], ["--threads", "0"]])
def test_numbers_out_of_range_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bounds", "--candles", str(tmp_path / "candles.csv"), *words])
    assert stop.value.code == 2
    assert f"argument {words[0]}: " in capsys.readouterr().err
