"""`doctor` refuses what `run` refuses, with its exit code and its reason."""

import json
import sqlite3
from pathlib import Path

import pytest

from bot.clock import Clock
from bot.model import save_model
from bot.simulator import LoopbackExchange, generate_candles
from tests.harness import copy_of, filled, hourhand, model_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a ledger of hourly bars, and its model."""
    filled(tmp_path / "ledger.sqlite", model_of(1))
    save_model(model_of(1), tmp_path / "model")
    copy_of(tmp_path / "ledger.sqlite", tmp_path / "read-only.sqlite").chmod(0o444)
    unmarked = sqlite3.connect(copy_of(tmp_path / "ledger.sqlite", tmp_path / "unmarked.sqlite"))
    unmarked.execute("UPDATE ledger_info SET practice = NULL")
    unmarked.execute("UPDATE candles SET bar_time = bar_time + 3600 * 24 * 365000")
    unmarked.commit()
    unmarked.close()
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ("[account]\ncommission = 0.5", 2, "account.commission"),
        ('[[challengers]]\nname = "main"\nmodel = "model"', 2, "main"),
        ('[[challengers]]\nname = "b"\nmodel = "nowhere"', 5, "nowhere"),
        ('[exchange]\ntimeframe = "15m"', 2, "timeframe"),
        ('[notify]\nurls = "nonsense"', 2, "address number 1"),
        ('[ledger]\nurl = "sqlite:///model/model.json/ledger.sqlite"', 4, "model.json"),
        ('[ledger]\nurl = "sqlite:///read-only.sqlite"', 4, "read-only"),
        ('[ledger]\nurl = "sqlite:///unmarked.sqlite"', 2, "the clock says"),
    ],
)
def test_doctor_and_run_agree(folder: Path, settings: str, code: int, words: str) -> None:
    base = 'base_url = "http://127.0.0.1:9"'
    text = settings.replace("[exchange]", f"[exchange]\n{base}") if "[exchange]" in settings else settings
    text = text if "[exchange]" in text else f"{text}\n[exchange]\n{base}"
    (folder / "hourhand.toml").write_text(text, encoding="utf-8")
    env = {"HOURHAND_POLICY__MODEL": "model"}
    if "[ledger]" not in settings:
        env["HOURHAND_LEDGER__URL"] = f"sqlite:///{folder}/ledger.sqlite"
    run = hourhand("run", "--once", cwd=folder, **env)
    doctor = hourhand("doctor", "--json", cwd=folder, **env)
    failed = next(check for check in json.loads(doctor.stdout)["checks"] if not check["ok"])
    assert (run.returncode, doctor.returncode, failed["exit_code"]) == (code, code, code), run.stderr
    assert words in run.stderr
    assert words in failed["detail"]


def test_doctor_says_that_the_clock_is_before_the_newest_bar(folder: Path) -> None:
    marked = sqlite3.connect(folder / "ledger.sqlite")
    marked.execute("UPDATE ledger_info SET practice = 1")
    marked.commit()
    marked.close()
    env = {
        "HOURHAND_CLOCK": "@1577840400",
        "HOURHAND_EXCHANGE__BASE_URL": "http://127.0.0.1:9",
        "HOURHAND_LEDGER__URL": f"sqlite:///{folder}/ledger.sqlite",
        "HOURHAND_POLICY__MODEL": "model",
    }
    doctor = hourhand("doctor", cwd=folder, **env)
    assert doctor.returncode == 2
    assert "nothing is decided until then" in doctor.stdout


def test_doctor_knows_another_markets_prices_as_run_does(folder: Path) -> None:
    candles = generate_candles(40, seed=6, holes=0, quiet=0)
    start = candles[-1].bar_time + 3600
    with LoopbackExchange(candles, Clock(start, 1.0, 0.0, lambda: 1.0, simulated=True)) as exchange:
        env = {
            "HOURHAND_CLOCK": f"@{start}",
            "HOURHAND_EXCHANGE__BASE_URL": exchange.url,
            "HOURHAND_LEDGER__URL": f"sqlite:///{folder}/ledger.sqlite",
            "HOURHAND_POLICY__MODEL": "model",
            "HOURHAND_SCHEDULE__WARMUP_BARS": "5",
        }
        run = hourhand("run", "--once", cwd=folder, **env)
        doctor = hourhand("doctor", cwd=folder, **env)
    assert (run.returncode, doctor.returncode) == (4, 4), run.stderr + doctor.stdout
    assert "not this ledger's" in run.stderr
    assert "not this ledger's" in doctor.stdout


def test_doctor_says_who_is_paused_and_refuses_a_file_that_does_not_as_run_does(folder: Path) -> None:
    env = {
        "HOURHAND_EXCHANGE__BASE_URL": "http://127.0.0.1:9",
        "HOURHAND_LEDGER__URL": f"sqlite:///{folder}/ledger.sqlite",
        "HOURHAND_POLICY__MODEL": "model",
    }
    assert hourhand("pause", cwd=folder, **env).returncode == 0
    assert "paused: main" in hourhand("doctor", cwd=folder, **env).stdout
    (folder / "model.paused").write_text("{")
    run, doctor = hourhand("run", "--once", cwd=folder, **env), hourhand("doctor", "--json", cwd=folder, **env)
    assert (run.returncode, doctor.returncode) == (2, 2), run.stderr
    failed = next(check for check in json.loads(doctor.stdout)["checks"] if not check["ok"])
    assert (failed["name"], failed["detail"]) == ("accounts", run.stderr.strip().removeprefix("hourhand: "))


def test_doctor_reads_each_bar_by_its_own_length(tmp_path: Path) -> None:
    """A newest hour is no newest day, whichever market comes first in the settings."""
    candles = generate_candles(40, seed=1, holes=0, quiet=0)
    now = candles[-1].bar_time + 3600
    clock = Clock(now, 1.0, 0.0, lambda: 1.0, simulated=True)
    with LoopbackExchange(candles, clock, others={"ETH/USD": candles}) as exchange:
        (tmp_path / "hourhand.toml").write_text(
            f'[exchange]\nbase_url = "{exchange.url}"\ntimeframe = "1d"\n[policy]\nmodel = "rule:hold"\n'
            '[schedule]\nwarmup_bars = 2\n[[markets]]\nname = "eth"\nsymbol = "ETH/USD"\ntimeframe = "1h"\n'
        )
        env = {"HOURHAND_CLOCK": f"@{now + 30}"}
        hourhand("run", "--once", cwd=tmp_path, **env)
        doctor = hourhand("doctor", "--json", cwd=tmp_path, **env)
    checks = {check["name"]: check for check in json.loads(doctor.stdout)["checks"]}
    assert checks["accounts"]["ok"], checks
    assert "main, eth: 1 of 2 with decided bars" in checks["accounts"]["detail"]
