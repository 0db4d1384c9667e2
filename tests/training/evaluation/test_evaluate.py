"""`hourhand-train evaluate` and its page, through the command."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bot.clock import utc
from bot.market import Candle
from bot.model import Model, load_model, save_model
from bot.report import signed
from bot.trading import Rules
from training.cli import main
from training.data import Origin, write_file
from training.evaluation import evaluate_model, evaluation_statistics, evaluation_summary, span_of
from training.evaluation.page import months

Walk = Callable[..., list[Candle]]
MakeModel = Callable[..., Model]
NAMES = ("policy", "hold", "constant_mix", "random", "argmax")


@pytest.fixture
def command(walk: Walk, make_model: MakeModel, tmp_path: Path) -> list[str]:
    """The words of a command that evaluates a model that trades, over 400 candles."""
    save_model(make_model(seed=4), tmp_path / "model")
    write_file(tmp_path / "candles.parquet", walk(400), Origin("here", "BTC/USD", "1h"))
    return ["evaluate", "--model", str(tmp_path / "model"), "--candles", str(tmp_path / "candles.parquet")]


def result_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_figure_is_there(command: list[str], capsys: pytest.CaptureFixture[str], walk: Walk) -> None:
    result = result_of([*command, "--runs", "3"], capsys)
    closes = [candle.close for candle in walk(400)]
    for name in NAMES:
        assert {"log_return", "sharpe", "max_drawdown"} <= result[name].keys()
        assert 0 <= result[name]["max_drawdown"] < 1
    assert result["hold"]["log_return"] == pytest.approx(np.log((10_000 + closes[-1]) / (10_000 + closes[0])))
    for name, baseline in (("excess_log_return", "hold"), ("timing_log_return", "constant_mix")):
        value, (low, high) = result[name]["value"], result[name]["ci95"]
        assert low < value < high
        assert value == pytest.approx(result["policy"]["log_return"] - result[baseline]["log_return"])
    assert 0 < result["exposure"] < 1
    assert result["cost"] == pytest.approx(0.00075 * result["turnover"])
    assert sum(result["actions"].values()) == pytest.approx(400)
    assert (result["runs"], result["bars"], result["warmup_bars"]) == (3, 400, 0)
    assert result["random"]["turnover"] == pytest.approx(result["turnover"], rel=0.01)


def test_the_same_words_give_the_same_figures(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = [*command, "--runs", "2"]
    assert result_of(words, capsys) == result_of(words, capsys)
    assert result_of([*words, "--seed", "9"], capsys)["policy"] != result_of(words, capsys)["policy"]


def test_the_likeliest_action_is_one_run(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    result = result_of([*command, "--mode", "argmax"], capsys)
    assert result["runs"] == 1
    assert result["policy"] == {name: result["argmax"][name] for name in result["policy"]}


def test_from_is_in_and_to_is_out(command: list[str], capsys: pytest.CaptureFixture[str], walk: Walk) -> None:
    candles = walk(400)
    ends = [utc(candles[100].bar_time), utc(candles[300].bar_time)]
    result = result_of([*command, "--runs", "1", "--from", ends[0], "--to", ends[1]], capsys)
    assert (result["bars"], result["warmup_bars"]) == (200, 100)
    assert [result["from"], result["to"]] == ends


def test_people_get_a_table(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--runs", "1"]) == 0
    shown = capsys.readouterr().out
    for words in ("constant mix", "over holding", "95 %", "turnover"):
        assert words in shown


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--from", "2030-01-01"], 2, "fewer than two candles"),
        (["--runs", "0"], 2, "--runs"),
        (["--seed", "-1"], 2, "--seed"),
        (["--candles", "none.csv"], 2, "there is no such file"),
        (["--model", "none"], 5, "none"),
        (["--out", "nowhere/page.html", "--runs", "1"], 2, "cannot be written"),
    ],
)
def test_failures_are_one_sentence(
    command: list[str], capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert main([*command, *words, "--json"]) == code
    failure = capsys.readouterr()
    assert failure.out == ""
    assert said in failure.err.splitlines()[-1]


def test_the_page_needs_nothing_from_elsewhere(
    command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    result = result_of([*command, "--runs", "2", "--out", str(page)], capsys)
    text = page.read_text()
    assert text.count("<figure>") == 4
    assert len(text) < 150_000
    assert not re.search(r"<script|<link|<img|@import|src=", text)
    assert not re.findall(r"(?:href|url)\W+(?!#)https?:", text.replace("xmlns:xlink=", ""))
    assert result["model_id"] in text
    for words in ("Drawdown", "Months", "over constant mix", signed(result["hold"]["log_return"], 4)):
        assert words in text


def test_months_add_up_to_the_span(walk: Walk, make_model: MakeModel) -> None:
    span = span_of(walk(2500), None, None, 3600)
    done = evaluate_model(make_model(seed=1), span, runs=2)
    table = months(done)
    assert [month["month"] for month in table] == ["2017-07", "2017-08", "2017-09", "2017-10"]
    result = evaluation_statistics(done)
    for name in ("policy", "hold", "constant_mix"):
        total = sum(np.log1p(month[name]) for month in table)
        assert total == pytest.approx(result[name]["log_return"])
    assert all(0 <= month["exposure"] <= 1 for month in table)


def test_a_model_is_saved_with_its_evaluation(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = result_of([*command, "--runs", "2", "--save", str(tmp_path / "evaluated")], capsys)
    before, after = load_model(tmp_path / "model"), load_model(tmp_path / "evaluated")
    assert after.model_id == before.model_id
    saved = json.loads(after.manifest)["evaluation"]
    assert {"model_id": after.model_id, **saved, "in_sample_bars": 0} == result
    assert main([*command, "--runs", "2", "--save", str(tmp_path / "evaluated")]) == 2  # never written over


def test_the_summary_is_for_a_manifest(walk: Walk, make_model: MakeModel) -> None:
    model, span = make_model(), span_of(walk(60), None, None, 3600)
    result = evaluation_summary(model, span, mode="argmax", rules=Rules(commission=0.0))
    assert result["mode"] == "argmax"
    assert result["cost"] == 0
    assert json.loads(json.dumps(result)) == result


def test_the_daemons_settings_decide_what_an_account_is(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "bot.toml"
    config.write_text("[account]\ncommission = 0.01\nslippage_bps = 50.0\n", encoding="utf-8")
    usual, dear = result_of(command, capsys), result_of([*command, "--config", str(config)], capsys)
    assert dear["cost"] > 5 * usual["cost"]
    assert dear["hold"] == usual["hold"]
