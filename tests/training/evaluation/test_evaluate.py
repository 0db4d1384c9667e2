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
from training.cli import main
from training.data import Origin, write_file
from training.evaluation import evaluate_model, evaluation_statistics, span_of
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


@pytest.mark.parametrize("words", [["--runs", "0"], ["--seed", "-1"], ["--seed", str(2**63)]])
def test_numbers_out_of_range_are_wrong_usage(
    command: list[str], capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, *words])
    assert stop.value.code == 2
    assert f"argument {words[0]}: " in capsys.readouterr().err


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
    assert result["verdict"][1:] in text
    for words in (
        "Drawdown",
        "Months",
        "against the constant mix",
        f"log return {result['timing_log_return']['value']:+.3f}",
    ):
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


@pytest.mark.parametrize(("features", "bars"), [("returns", 500), ("slow", 2160)])
def test_a_model_is_warmed_up_on_as_many_candles_as_in_the_daemon(
    walk: Walk, make_model: MakeModel, tmp_path: Path, capsys: pytest.CaptureFixture[str], features: str, bars: int
) -> None:
    save_model(make_model(features=features, account_at="heads"), tmp_path / "model")
    candles = walk(2300)
    write_file(tmp_path / "candles.csv", candles, Origin())
    words = ["--model", str(tmp_path / "model"), "--candles", str(tmp_path / "candles.csv"), "--runs", "1"]
    result = result_of(["evaluate", *words, "--from", utc(candles[2280].bar_time)], capsys)
    assert (result["warmup_bars"], result["bars"]) == (bars, 20)


def test_the_daemons_settings_decide_what_an_account_is(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "bot.toml"
    config.write_text("[account]\ncommission = 0.01\nslippage_bps = 50.0\n", encoding="utf-8")
    usual, dear = result_of(command, capsys), result_of([*command, "--config", str(config)], capsys)
    assert dear["cost"] > 5 * usual["cost"]
    assert dear["hold"] == usual["hold"]


@pytest.fixture
def several(walk: Walk, make_model: MakeModel, tmp_path: Path) -> list[str]:
    """The words of a command that evaluates a model on three markets, one of them younger, at prices far apart."""
    save_model(make_model(seed=4, features="returns", account_at="heads"), tmp_path / "model")
    for name, candles, scale in (
        ("AAA_USD", walk(300), 1.0),
        ("BBB_USD", walk(300, 1), 1e-4),
        ("CCC_USD", walk(300, 2)[100:], 1e3),
    ):
        scaled = [
            candle._replace(**{key: getattr(candle, key) * scale for key in ("open", "high", "low", "close")})
            for candle in candles
        ]
        write_file(tmp_path / f"{name}-1h.csv", scaled, Origin())
    return ["evaluate", "--model", str(tmp_path / "model"), "--candles", str(tmp_path / "*.csv"), "--runs", "3"]


def test_several_markets_have_figures_each_and_a_pool(several: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    result = result_of(several, capsys)
    assert list(result["markets"]) == ["AAA_USD", "BBB_USD", "CCC_USD"]
    assert [one["bars"] for one in result["markets"].values()] == [300, 300, 200]
    pooled = result["pooled"]
    for name in NAMES:
        assert {"log_return", "sharpe", "max_drawdown"} <= pooled[name].keys()
    assert (pooled["bars"], pooled["runs"]) == (300, 3)
    for name, baseline in (("excess_log_return", "hold"), ("timing_log_return", "constant_mix")):
        value, (low, high) = pooled[name]["value"], pooled[name]["ci95"]
        assert low < value < high
        assert value == pytest.approx(pooled["policy"]["log_return"] - pooled[baseline]["log_return"])
    assert sum(pooled["timing_parts"].values()) == pytest.approx(pooled["timing_log_return"]["value"])
    assert -pooled["timing_parts"]["cost"] == pytest.approx(pooled["cost"], rel=0.02)
    for one in result["markets"].values():
        assert sum(one["timing_parts"].values()) == pytest.approx(one["timing_log_return"]["value"])
    assert result["verdict"].startswith("no evidence of timing")


def test_a_market_costs_what_it_costs_whatever_a_coin_is_worth(
    several: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Half of 10,000 in coins: the same candles at another price level give the same figures."""
    lines = (tmp_path / "AAA_USD-1h.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    dear = [",".join([row[0], *(repr(float(x) * 1024) for x in row[1:5]), row[5]]) for row in rows]
    (tmp_path / "DDD_USD-1h.csv").write_text("\n".join([lines[0], *dear]))
    markets = result_of(several, capsys)["markets"]
    cheap, costly = markets["AAA_USD"], markets["DDD_USD"]
    assert costly["policy"]["log_return"] == pytest.approx(cheap["policy"]["log_return"], abs=1e-3)
    assert costly["hold"]["log_return"] == pytest.approx(cheap["hold"]["log_return"])
    assert cheap["hold"]["log_return"] == pytest.approx(np.log(0.5 + 0.5 * float(rows[-1][4]) / float(rows[0][4])))


def test_one_of_a_pattern_is_one_market(several: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    one = [str(tmp_path / "A*.csv") if word.endswith("*.csv") else word for word in several]
    assert "markets" not in result_of(one, capsys)


def test_a_coin_counts_once_unless_asked(
    several: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "aaausdt.csv").write_bytes((tmp_path / "AAA_USD-1h.csv").read_bytes())
    assert main([*several, "--json"]) == 0
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["markets"]) == 3
    assert "aaausdt is the same coin as AAA_USD" in shown.err
    assert len(result_of([*several, "--same-coin"], capsys)["markets"]) == 4


def test_people_get_the_markets_and_the_pool(several: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(several) == 0
    shown = capsys.readouterr().out
    for words in ("AAA_USD", "the pool of them", "constant mix", "no evidence of timing"):
        assert words in shown
    assert main([*several, "--out", "page.html"]) == 2


def test_a_market_that_is_too_young_is_left_out(
    several: list[str], capsys: pytest.CaptureFixture[str], walk: Walk
) -> None:
    until = utc(walk(300)[90].bar_time)
    assert list(result_of([*several, "--to", until], capsys)["markets"]) == ["AAA_USD", "BBB_USD"]
    assert main([*several, "--from", "2030-01-01"]) == 2


def test_a_verdict_on_bars_that_were_learned_from_is_no_evidence(
    walk: Walk, make_model: MakeModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candles = walk(400)
    span = {"first_candle": candles[0].bar_time, "last_candle": candles[-1].bar_time}
    save_model(make_model(seed=4, training=span), tmp_path / "model")
    write_file(tmp_path / "candles.csv", candles, Origin())
    words = ["evaluate", "--model", str(tmp_path / "model"), "--candles", str(tmp_path / "candles.csv"), "--runs", "2"]
    result = result_of(words, capsys)
    assert result["in_sample_bars"] == 400
    assert "the model learned from 400 of these bars" in result["verdict"] or "it loses" in result["verdict"]
