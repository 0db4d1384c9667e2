"""`doctor` refuses what `run` refuses, with its exit code and its reason."""

import json
from pathlib import Path

import pytest

from bot.model import save_model
from tests.harness import filled, hourhand, model_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a ledger of hourly bars, and its model."""
    filled(tmp_path / "ledger.sqlite", model_of(1))
    save_model(model_of(1), tmp_path / "model")
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ("[account]\ncommission = 0.5", 2, "account.commission"),
        ('[[challengers]]\nname = "main"\nmodel = "model"', 2, "main"),
        ('[[challengers]]\nname = "b"\nmodel = "nowhere"', 5, "nowhere"),
        ('[exchange]\ntimeframe = "15m"', 2, "timeframe"),
    ],
)
def test_doctor_and_run_agree(folder: Path, settings: str, code: int, words: str) -> None:
    base = 'base_url = "http://127.0.0.1:9"'
    text = settings.replace("[exchange]", f"[exchange]\n{base}") if "[exchange]" in settings else settings
    text = text if "[exchange]" in text else f"{text}\n[exchange]\n{base}"
    (folder / "hourhand.toml").write_text(text, encoding="utf-8")
    env = {"HOURHAND_LEDGER__URL": f"sqlite:///{folder}/ledger.sqlite", "HOURHAND_POLICY__MODEL": "model"}
    run = hourhand("run", "--once", cwd=folder, **env)
    doctor = hourhand("doctor", "--json", cwd=folder, **env)
    failed = next(check for check in json.loads(doctor.stdout)["checks"] if not check["ok"])
    assert (run.returncode, doctor.returncode, failed["exit_code"]) == (code, code, code), run.stderr
    assert words in run.stderr
    assert words in failed["detail"]
