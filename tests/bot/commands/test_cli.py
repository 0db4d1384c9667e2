"""The command line: help with examples, one JSON object, exit codes, and no more loaded than is needed."""

import csv
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bot import __version__
from bot.cli import COMMANDS, main
from bot.model import save_model
from bot.simulator import generate_candles
from tests.harness import HOUR, copy_of, filled, hourhand, model_of, rows_at

MODEL = model_of(1)
PROVEN = {"bars": 30, "differences": 0, "details": []}
Run = pytest.CaptureFixture[str]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of thirty bars that the settings name, in a folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOURHAND_LEDGER__URL", f"sqlite:///{tmp_path}/ledger.sqlite")
    monkeypatch.setenv("HOURHAND_CLOCK", "@1577836800")
    monkeypatch.setenv("HOURHAND_EXCHANGE__BASE_URL", "http://127.0.0.1:9")
    return filled(tmp_path / "ledger.sqlite", MODEL)


def printed(capsys: Run, *arguments: str) -> Any:
    """What a command that succeeds prints as JSON: one object, and nothing else."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(capsys: Run, command: str) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert re.search(rf"example:\s+hourhand {command}", out)


def test_the_overview_names_every_command(capsys: Run) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^    {command}\s", out, re.MULTILINE) for command in COMMANDS)
    assert "example: hourhand" in out
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"hourhand {__version__}\n")


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["status", "--what"], ["replay"], ["export", "secrets"], ["backup"]]
)
def test_wrong_usage_ends_with_2(capsys: Run, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().out == ""


def test_status(capsys: Run, ledger: Path) -> None:
    result = printed(capsys, "status")
    last = rows_at(f"sqlite:///{ledger}")["decisions"][-1]
    close = generate_candles(40, seed=5, holes=0, quiet=0)[-1].close
    assert (result["account"], result["bar_time"], result["model_id"]) == ("main", last[1], MODEL.model_id)
    assert [result[name] for name in ("balance", "stocks", "value", "hold_value")] == list(last[12:16])
    assert result["close"] == close
    assert result["excess"] == last[14] - last[15]
    assert result["stocks_pct"] == 100 * last[13] * close / last[14]
    assert result["bars"] == 30
    assert result["trades"] == len(rows_at(f"sqlite:///{ledger}")["fills"])
    assert result["lag_seconds"] == pytest.approx(1577836800 - last[1] - HOUR, abs=5)
    assert result["state"] == "stopped"
    assert main(["status"]) == 0
    assert "2020-01-02T15:00:00Z" in capsys.readouterr().out
    assert [account["account"] for account in result["accounts"]] == ["main"]
    assert {*result["accounts"][0], "accounts"} == set(result)


def test_trades(capsys: Run, ledger: Path) -> None:
    fills = rows_at(f"sqlite:///{ledger}")["fills"]
    result = printed(capsys, "trades")["trades"]
    assert [tuple(fill.values()) for fill in result] == [fill[1:] for fill in fills]
    assert printed(capsys, "trades", "--last", "2")["trades"] == result[-2:]
    small = sum(fill[5] < 10 for fill in fills)
    assert printed(capsys, "trades")["below_ten"] == small
    capsys.readouterr()
    assert main(["trades"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(fills) + 2
    assert lines[-1] == f"{small} of {len(fills)} fills moved less than 10 in quote currency"


@pytest.mark.parametrize("table", ["candles", "decisions", "fills", "accounts", "models", "states"])
def test_export_in_every_format_is_the_table(capsys: Run, ledger: Path, table: str) -> None:
    rows = [[c.hex() if isinstance(c, bytes) else c for c in row] for row in rows_at(f"sqlite:///{ledger}")[table]]
    for ending in ("csv", "json", "parquet"):
        result = printed(capsys, "export", table, "--out", f"out.{ending}")
        assert result == {"table": table, "rows": len(rows), "out": f"out.{ending}"}
    as_json = json.loads(Path("out.json").read_text())
    assert [list(row.values()) for row in as_json] == rows
    assert [list(row.values()) for row in pq.read_table("out.parquet").to_pylist()] == rows
    with Path("out.csv").open(newline="") as file:
        header, *cells = csv.reader(file)
    assert header == list(as_json[0])
    assert cells == [["" if cell is None else str(cell) for cell in row] for row in rows]
    assert main(["export", table]) == 0
    assert capsys.readouterr().out == Path("out.csv").read_text()


@pytest.mark.parametrize(
    "arguments", [["fills", "--json"], ["fills", "--format", "parquet"], ["fills", "--out", "nowhere/out.csv"]]
)
def test_an_export_that_cannot_be_is_wrong_usage(capsys: Run, ledger: Path, arguments: list[str]) -> None:
    assert ledger.exists()
    assert main(["export", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("hourhand: export: ")


def test_replay_verify_and_backup(capsys: Run, ledger: Path) -> None:
    save_model(MODEL, Path("model"))
    rows = [",".join(map(repr, candle[:6])) for candle in generate_candles(40, seed=5, holes=0, quiet=0)]
    Path("candles.csv").write_text("\n".join(["t,o,h,l,c,v", *rows]))
    result = printed(
        capsys,
        "replay",
        "--candles",
        "candles.csv",
        "--model",
        "model",
        "--warmup",
        "10",
        "--ledger",
        "sqlite:///new.sqlite",
    )
    assert set(result) >= {"bars", "trades", "value", "hold_value", "excess", "bars_per_second", "last_bar_time"}
    assert result["bars"] == 30
    mine, old = rows_at("sqlite:///new.sqlite"), rows_at(f"sqlite:///{ledger}")
    assert mine == old
    assert result["value"] == mine["decisions"][-1][14]
    assert printed(capsys, "verify", "--ledger", "sqlite:///new.sqlite") == PROVEN
    result = printed(capsys, "backup", "copy.sqlite")
    assert rows_at("sqlite:///copy.sqlite") == old
    assert result["bytes"] == Path("copy.sqlite").stat().st_size
    assert main(["backup", "copy.sqlite"]) == 2


def test_verify_ends_with_4_where_a_cell_was_altered(capsys: Run, ledger: Path, tmp_path: Path) -> None:
    altered = copy_of(ledger, tmp_path / "altered.sqlite")
    with sqlite3.connect(altered) as connection:
        connection.execute("UPDATE decisions SET balance = balance + 1 WHERE rowid = 7")
    connection.close()
    capsys.readouterr()
    assert main(["verify", "--json", "--ledger", f"sqlite:///{altered}"]) == 4
    result = json.loads(capsys.readouterr().out)
    assert result["bars"] == 30
    assert result["differences"] == len(result["details"]) > 1
    assert main(["verify", "--ledger", f"sqlite:///{altered}"]) == 4
    assert "balance is" in capsys.readouterr().out


def test_a_command_is_python_m_bot(ledger: Path) -> None:
    done = hourhand("status", "--json", cwd=ledger.parent, HOURHAND_LEDGER__URL=f"sqlite:///{ledger}")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["bars"] == 30
