"""`hourhand compare`: accounts beside each other, over the hours that all of them decided."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bot.cli import main
from bot.ledger import open_writer
from bot.market import fill_gaps
from bot.model import parse_model
from bot.service import replay_candles
from bot.simulator import generate_candles
from bot.trading import AccountTerms, Trader
from tests.harness import HOUR, environment, hourhand, model_of

ROOT = Path(__file__).parents[3]
MARKET = "bitfinex:BTC/USD:1h"
CANDLES = fill_gaps(generate_candles(400, seed=4, holes=0.0), HOUR)
SPANS = {"main": (0, 300), "early": (0, 250), "late": (40, 400), "apart": (350, 400)}


@pytest.fixture(autouse=True)
def _ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four accounts on one market, from a bar to a bar."""
    file = tmp_path / "ledger.sqlite"
    writer = open_writer(f"sqlite:///{file}")
    for seed, (name, (first, end)) in enumerate(SPANS.items()):
        replay_candles(writer, Trader(AccountTerms(name, MARKET), model_of(seed)), CANDLES[first:end], 10)
    writer.close()
    monkeypatch.setenv("HOURHAND_LEDGER__URL", f"sqlite:///{file}")


def compared(capsys: pytest.CaptureFixture[str], *names: str) -> dict[str, object]:
    assert main(["compare", "--json", *(word for name in names for word in ("--account", name))]) == 0
    result: dict[str, object] = json.loads(capsys.readouterr().out)
    return result


def test_the_hours_are_those_that_all_have(capsys: pytest.CaptureFixture[str]) -> None:
    result = compared(capsys, "main", "early", "late")
    assert (result["first"], result["last"], result["bars"]) == (CANDLES[50].bar_time, CANDLES[249].bar_time, 200)
    assert [(row["account"], row["bars"], row["first"]) for row in result["accounts"]] == [  # type: ignore[attr-defined]
        (name, 200, CANDLES[50].bar_time) for name in ("main", "early", "late")
    ]
    holds = {row["hold_log_return"] for row in result["accounts"]}  # type: ignore[attr-defined]
    assert holds == {result["hold"]["log_return"]}  # type: ignore[index]


def test_differences_are_against_holding_and_the_own_mix(capsys: pytest.CaptureFixture[str]) -> None:
    for row in compared(capsys, "main", "late")["accounts"]:  # type: ignore[attr-defined]
        assert row["excess_log_return"] == row["log_return"] - row["hold_log_return"]
        assert row["timing_log_return"] == row["log_return"] - row["constant_mix_log_return"]


def test_an_account_alone_has_all_its_hours(capsys: pytest.CaptureFixture[str]) -> None:
    result = compared(capsys, "late")
    assert (result["first"], result["bars"]) == (CANDLES[50].bar_time, 350)


def test_accounts_without_common_hours_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *(word for name in SPANS for word in ("--account", name))]) == 2
    error = capsys.readouterr().err
    assert "main, early, late, apart have no hours in common" in error
    assert len(error.splitlines()) == 1


def test_an_account_that_spoils_the_comparison_is_left_out_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    everyone = compared(capsys)
    assert [row["account"] for row in everyone["accounts"]] == ["main", "early", "late"]  # type: ignore[attr-defined]
    assert (everyone["bars"], everyone["left_out"]) == (200, ["apart"])
    assert main(["compare"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "too few hours in common: apart; see `hourhand compare --account main --account apart`"
    )


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_fits_the_terminal_and_no_cell_is_cut(tmp_path: Path, width: int) -> None:
    environ = environment(PYTHONPATH=str(ROOT), COLUMNS=str(width), TERM="xterm")
    command = f"{sys.executable} -m bot compare --account main --account early"
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        cwd=tmp_path, env=environ | {"HOURHAND_LEDGER__URL": f"sqlite:///{tmp_path}/ledger.sqlite"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines()]
    table = lines[1:5]
    assert max(map(len, lines[1:])) <= max(width, 62)
    assert "\N{HORIZONTAL ELLIPSIS}" not in done.stdout
    assert table[0].startswith("account  log return  over hold  over mix  drawdown")
    assert ("slippage" in table[0]) == (width > 120)
    assert any(line.startswith("left out, as this terminal is narrow: slippage") for line in lines) == (width <= 120)


def test_the_table_for_people_has_every_account_and_holding(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--account", "main", "--account", "early"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "240 bars in common, 2020-01-01T10:00:00Z to 2020-01-11T09:00:00Z"
    assert [line.split()[0] for line in lines[1:]] == ["account", "main", "early", "holding"]


def test_bars_that_the_model_learned_from_are_counted_and_said(tmp_path: Path) -> None:
    model = model_of(11)
    manifest = json.loads(model.manifest)
    candles = generate_candles(60, seed=5, holes=0, quiet=0)
    manifest["training"] = {"first_candle": candles[0].bar_time, "last_candle": candles[29].bar_time}
    ledger = open_writer(f"sqlite:///{tmp_path}/l.sqlite")
    learned = parse_model(model.weights, json.dumps(manifest))
    replay_candles(ledger, Trader(AccountTerms("main", MARKET), learned), candles, 20)
    ledger.close()
    url = f"sqlite:///{tmp_path}/l.sqlite"
    compared = hourhand("compare", "--json", cwd=tmp_path, HOURHAND_LEDGER__URL=url)
    assert json.loads(compared.stdout)["in_sample_bars"] == 10
    assert "10 of these 40 bars" in compared.stderr
    reported = hourhand("report", "--json", "--out", "r.html", cwd=tmp_path, HOURHAND_LEDGER__URL=url)
    assert json.loads(reported.stdout)["accounts"][0]["in_sample_bars"] == 10
    assert "10 of these 40 bars" in (tmp_path / "r.html").read_text(encoding="utf-8")
