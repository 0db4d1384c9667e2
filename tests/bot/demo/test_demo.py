"""The demo: what it shows happened, it says so where it did not, and it leaves nothing behind."""

import io
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bot.demo import Narrator, Scenario, run_demo
from bot.demo.narrator import chart
from bot.demo.run import summary
from bot.demo.scenario import HOUR, ScenarioResult
from bot.trading import Decision
from tests.harness import environment, hourhand, rows_at, settings_of

ROOT = Path(__file__).parents[3]
SHORT = Scenario(bars=100, outage=4, kill=70, hole=86)


def decision(hour: int, reason: str = "policy", value: float = 20_000.0) -> Decision:
    return Decision(
        hour * HOUR, "hold", reason, 0.8, 0.1, 0.1, 0.0, 0.5, "m", "sample", 1.0, 1.0, 1.0, value, 20_000.0, None, None
    )


def a_successful_run() -> tuple[ScenarioResult, list[Decision]]:
    reasons = {13: "missed", 14: "missed", 20: "synthetic"}
    decisions = [decision(hour, reasons.get(hour, "policy")) for hour in range(10, 22)]
    return ScenarioResult(
        first=10 * HOUR,
        last=21 * HOUR,
        hole=20 * HOUR,
        dark=(14.1 * HOUR, 17.5 * HOUR),
        last_before_kill=18 * HOUR,
        half_bar_left=False,
        killed_with=-signal.SIGKILL,
        resumed_at=19 * HOUR,
        stopped_with=0,
        bar_lines=Counter(d.bar_time for d in decisions),
        events=Counter(exchange_error=3, exchange_recovered=1),
    ), decisions


@pytest.mark.slow
def test_a_short_performance(tmp_path: Path) -> None:
    stream = io.StringIO()
    settings = settings_of(policy={"model": "rule:random?turnover=1.0"})
    outcome = run_demo(tmp_path, settings, Narrator(stream), SHORT)
    said = stream.getvalue()
    untrue = [check for check, is_true in outcome["checks"].items() if not is_true]
    # On a machine that stands still for seconds, hours on end of this clock, the daemon rightly misses more.
    assert untrue in ([], ["missed in the outage, and only there"]), said
    assert outcome["ok"] == (not untrue)
    assert outcome["bars"] == SHORT.bars
    assert outcome["synthetic"] == 1
    assert outcome["missed"] > 0
    assert outcome["killed_bar_time"] == outcome["resumed_bar_time"]
    assert outcome["differences"] == 0
    rows = rows_at(f"sqlite:///{tmp_path}/ledger.sqlite")
    assert len(rows["decisions"]) == SHORT.bars
    assert len(rows["fills"]) == outcome["trades"]
    assert "kill -9" in said
    assert "$ hourhand status\naccount      main\n" in said
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.slow
def test_a_short_performance_with_several_markets(tmp_path: Path) -> None:
    settings = settings_of(policy={"model": "rule:random?turnover=1.0"})
    outcome = run_demo(tmp_path, settings, Narrator(io.StringIO()), SHORT._replace(markets=3))
    untrue = [check for check, is_true in outcome["checks"].items() if not is_true]
    assert untrue in ([], ["missed in the outage, and only there"])
    assert "so it was in 2 markets beside it, bar by bar" in outcome["checks"]
    accounts = {row[0] for row in rows_at(f"sqlite:///{tmp_path}/ledger.sqlite")["decisions"]}
    assert accounts == {"main", "eth", "ltc"}


def test_every_check_can_fail() -> None:
    scenario = Scenario(bars=12)
    result, decisions = a_successful_run()
    assert all(summary(scenario, result, decisions, 0, 0)["checks"].values())

    def failed(outcome: dict[str, object], name: str) -> bool:
        checks = outcome["checks"]
        assert isinstance(checks, dict)
        return not outcome["ok"] and [check for check, is_true in checks.items() if not is_true] == [name]

    every, there, killed, very, hole, stopped, derived = summary(scenario, result, decisions, 0, 0)["checks"]
    assert failed(summary(scenario, result, decisions, 0, 1), derived)
    result.bar_lines[15 * HOUR] += 1
    assert failed(summary(scenario, result, decisions, 0, 0), every)
    result, decisions = a_successful_run()
    assert failed(summary(Scenario(bars=13), result, decisions, 0, 0), every)
    assert failed(summary(scenario, result, [*decisions[:-1], decision(21, "missed")], 0, 0), there)
    result.half_bar_left = True
    assert failed(summary(scenario, result, decisions, 0, 0), killed)
    result, decisions = a_successful_run()
    result.resumed_at += HOUR
    assert failed(summary(scenario, result, decisions, 0, 0), very)
    result, decisions = a_successful_run()
    result.hole -= HOUR
    assert failed(summary(scenario, result, decisions, 0, 0), hole)
    result, decisions = a_successful_run()
    result.stopped_with = 1
    assert failed(summary(scenario, result, decisions, 0, 0), stopped)


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "bot", "demo"],
        cwd=ROOT,
        env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        next(line for line in process.stdout if "The daemon starts" in line)
        assert list(tmp_path.iterdir())
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert list(tmp_path.iterdir()) == []
    assert not [child for child in children if _is_alive(int(child))]


def test_a_model_that_is_not_there_ends_it_at_once(tmp_path: Path) -> None:
    done = hourhand("demo", "--json", cwd=tmp_path, HOURHAND_POLICY__MODEL=str(tmp_path / "none"))
    assert done.returncode == 5
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_keep_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = hourhand("demo", "--keep", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert "name a new one" in done.stderr


@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("spread", [0.0, 30.0, 15_000.0])
def test_the_chart_fits_a_terminal(colours: bool, spread: float) -> None:
    drawn = chart([decision(hour, value=20_000 + spread * (hour % 7)) for hour in range(100)], colours=colours)
    assert ("\x1b" in drawn) == colours
    if not colours:
        assert {len(line) <= 80 for line in drawn.splitlines()} == {True}
        assert "20,000┤" in drawn


def test_it_needs_nothing_that_training_needs() -> None:
    program = "import sys, bot.commands.demo; sys.exit(len({'torch', 'pandas', 'training'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
