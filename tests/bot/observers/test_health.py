"""`hourhand health`: bars that are decided in time, as a sentence and an exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cli import main
from bot.observers import allowed_lag, check_health
from bot.observers.health import span
from bot.simulator.generate import START
from tests.harness import HOUR, World, environment, hourhand, model_of, settings_of, world_of

BAR = START + 30 * HOUR
SETTINGS = settings_of(schedule={"poll_delay_seconds": 20, "max_decision_delay_seconds": 900})


@given(lag=st.floats(-60, 1e7))
def test_a_bar_may_be_as_old_as_the_next_one_may_be_late(lag: float) -> None:
    verdict = check_health(START, START + HOUR + lag, SETTINGS)
    assert verdict.lag_seconds == pytest.approx(lag, abs=1e-6)
    assert verdict.healthy == (verdict.lag_seconds is not None and verdict.lag_seconds <= HOUR + 20 + 900)
    assert verdict.sentence.startswith("healthy: " if verdict.healthy else "not healthy: ")


def test_the_limit_follows_the_settings() -> None:
    slow = settings_of(
        exchange={"timeframe": "4h"}, schedule={"poll_delay_seconds": 1, "max_decision_delay_seconds": 2}
    )
    assert allowed_lag(slow) == 4 * HOUR + 3
    assert check_health(START, START + 8 * HOUR + 3, slow).healthy
    assert not check_health(START, START + 8 * HOUR + 4, slow).healthy


def test_no_bar_and_a_clock_that_went_back_are_not_healthy() -> None:
    assert check_health(None, START, SETTINGS) == (
        False,
        "not healthy: no bar has been decided yet",
        None,
        None,
        4520.0,
        (),
    )
    back = check_health(START, START + HOUR - 61, SETTINGS)
    assert (back.healthy, back.lag_seconds) == (False, -61)
    assert "clock" in back.sentence


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "1 h 0 min"), (11_100, "3 h 5 min"), (187_200, "2 d 4 h")],
)
def test_spans_for_people(seconds: float, text: str) -> None:
    assert span(seconds) == text


def lived(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger with one decided bar, and settings in the environment that name it."""
    with world.poller(model_of(1)) as poller:
        world.run(poller, [30])
    monkeypatch.setenv("HOURHAND_LEDGER__URL", world.url)
    monkeypatch.setenv("HOURHAND_EXCHANGE__BASE_URL", world.exchange.url)


def test_the_command_asks_the_ledger_and_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with world_of(tmp_path) as world:
        lived(world, monkeypatch)
        monkeypatch.setenv("HOURHAND_CLOCK", f"@{BAR + HOUR + 600}")
        assert main(["health"]) == 0
        assert capsys.readouterr().out == ("healthy: the newest decided bar, 2020-01-02T06:00:00Z, closed 10 min ago\n")
        monkeypatch.setenv("HOURHAND_CLOCK", f"@{BAR + 2 * HOUR + 3000}")
        assert main(["health", "--json"]) == 1
        result = json.loads(capsys.readouterr().out)
        assert result["healthy"] is False
        assert result["bar_time"] == BAR
        assert result["lag_seconds"] == pytest.approx(HOUR + 3000, abs=30)
        assert result["sentence"].endswith("closed 1 h 50 min ago, 1 h 15 min are allowed")


def test_a_ledger_that_is_not_there_is_not_healthy_and_wrong_settings_are_wrong_settings(tmp_path: Path) -> None:
    missing = hourhand("health", cwd=tmp_path)
    assert (missing.returncode, missing.stderr) == (1, "")
    assert missing.stdout.startswith("not healthy: there is no ledger")
    wrong = hourhand("health", cwd=tmp_path, HOURHAND_HEALTH__PORT="70000")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "health.port" in wrong.stderr


def test_it_loads_neither_numpy_nor_ccxt(tmp_path: Path) -> None:
    code = "import sys; from bot.cli import main; main(['health']); print({'numpy', 'ccxt'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(Path(__file__).parents[3])),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "set()"
