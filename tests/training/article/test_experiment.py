"""The article's experiment, small: a model, five charts and the tables behind them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.clock import utc
from bot.market import Candle
from bot.model import load_model
from training.cli import main
from training.data import Origin, sha256, write_file

Walk = Callable[..., list[Candle]]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_whole_experiment(walk: Walk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    candles = walk(760)
    write_file(tmp_path / "candles.csv", candles, Origin())
    ends = [utc(candles[n].bar_time) for n in (10, 610, 740)]
    out = tmp_path / "out"
    words = ["--from", ends[0], "--to", ends[1], "--unseen-to", ends[2], "--episodes", "2", "--seed", "1"]
    assert main(["article", "--candles", str(tmp_path / "candles.csv"), "--out", str(out), *words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == 1000

    model = load_model(out / "model")
    assert result["model_id"] == model.model_id
    provenance = json.loads(model.manifest)["training"]
    assert provenance["candles_sha256"] == sha256(candles[10:610])
    assert (provenance["first_candle"], provenance["last_candle"]) == (candles[10].bar_time, candles[609].bar_time)

    drawn = {path.name[0] for path in out.glob("*.png")}
    assert drawn == set("12345")
    episodes = rows(out / "episodes.csv")
    assert float(episodes[1]["total"]) == sum(float(episode["profit"]) for episode in episodes)
    for name, first, last in (("3-account", 10, 610), ("5-unseen-account", 610, 740)):
        table = rows(out / f"{name}.csv")
        assert [row["time"] for row in table] == [utc(candle.bar_time) for candle in candles[first:last]]
        assert float(table[-1]["profit"]) == float(table[-1]["value"]) - float(table[-1]["hold_value"])
    figures = json.loads((out / "figures.json").read_text())
    assert figures["training"]["bars"] == 600
    assert figures["unseen"]["bars"] == 130
    assert figures["profit_per_episode"][0]["episodes"] == "1-2"

    assert main(["article", "--candles", str(tmp_path / "candles.csv"), "--out", str(out)]) == 2
    assert "holds an experiment already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--episodes", "0"], "--episodes"),
        (["--to", "2018-05-07"], "more than 500 candles"),
        (["--from", "2030-01-01", "--to", "2031-01-01"], "no candles between"),
    ],
)
def test_what_cannot_be_trained_on_is_one_sentence(
    walk: Walk, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    write_file(tmp_path / "candles.csv", walk(8000), Origin())
    command = ["article", "--candles", str(tmp_path / "candles.csv"), "--out", str(tmp_path / "out"), *words]
    assert main(command) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
