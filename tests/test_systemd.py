"""The units: hardened as promised, without a word from systemd, and with commands that exist."""

import os
import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from bot.errors import HourhandError, LedgerError, LedgerInUseError, ModelError, UsageError
from bot.settings import load_settings
from tests.harness import hourhand

ROOT = Path(__file__).parents[1]
UNITS = ROOT / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


class Unit(RawConfigParser):
    """A unit's sections; of a key that is given twice, the last."""

    def __init__(self, file: Path) -> None:
        super().__init__(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
        self.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys keep their case
        self.read(file)


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_exposure_is_low(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"SYSTEMD_COLORS": "0"},
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1]
    level = re.search(r"Overall exposure level .*: ([0-9.]+)", done.stdout)
    assert level is not None
    assert float(level[1]) <= 1.5


@needs_systemd
def test_verify_is_silent_once_they_are_installed(tmp_path: Path) -> None:
    system = tmp_path / "etc/systemd/system"
    system.mkdir(parents=True)
    for unit in UNITS.glob("hourhand*.[st]*"):
        shutil.copy(unit, system)
    for program in ("opt/hourhand/bin/hourhand", "opt/hourhand/bin/hourhand-train", "bin/sh"):
        target = tmp_path / program
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("#!/bin/sh\n")
        target.chmod(0o755)
    manual = tmp_path / "opt/hourhand/share/doc/hourhand/service.md"
    manual.parent.mkdir(parents=True)
    manual.touch()
    shutil.copytree("/lib/systemd/system", tmp_path / "lib/systemd/system", symlinks=True)  # what they are wanted by
    names = [unit.name for unit in [*SERVICES, *UNITS.glob("*.timer")]]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={tmp_path}", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_a_restart_does_not_mend_is_not_restarted() -> None:
    service = Unit(UNITS / "hourhand.service")["Service"]
    final: list[type[HourhandError]] = [UsageError, LedgerInUseError, LedgerError, ModelError]
    assert service["RestartPreventExitStatus"].split() == [str(error.exit_code) for error in final]
    assert service["Restart"] == "on-failure"
    assert service["Type"] == "notify"
    assert "kill -HUP $MAINPID" in service["ExecReload"]


def test_retraining_yields_to_the_daemon_and_shares_its_state() -> None:
    daemon, refresh = (Unit(UNITS / f"{name}.service")["Service"] for name in ("hourhand", "hourhand-refresh"))
    for key in ("User", "Group", "StateDirectory", "WorkingDirectory", "EnvironmentFile"):
        assert daemon[key] == refresh[key]
    assert int(refresh["Nice"]) == 19
    assert refresh["CPUSchedulingPolicy"] == refresh["IOSchedulingClass"] == "idle"
    assert int(refresh["OOMScoreAdjust"]) > 0 > int(daemon["OOMScoreAdjust"])
    assert "MemoryDenyWriteExecute" not in refresh  # torch makes machine code while it runs


def test_each_command_is_one_that_there_is(tmp_path: Path) -> None:
    for unit, module in (("hourhand", "bot"), ("hourhand-refresh", "training")):
        command = Unit(UNITS / f"{unit}.service")["Service"]["ExecStart"].split()
        assert Path(command[0]).name == {"bot": "hourhand", "training": "hourhand-train"}[module]
        assert command[2:] == ["--config", "/etc/hourhand/bot.toml"]
    assert "--config FILE" in hourhand("run", "--help", cwd=tmp_path).stdout


def test_the_script_is_a_shells_and_its_settings_are_ours(tmp_path: Path) -> None:
    script = UNITS / "install.sh"
    subprocess.run(["sh", "-n", str(script)], check=True)
    expression = re.search(r"sed (-e .*?) \"\$here/config/bot.toml\"", script.read_text(), re.DOTALL)
    assert expression is not None
    changed = subprocess.run(
        ["sh", "-c", f"state=/var/lib/hourhand; sed {expression[1]} {ROOT / 'config/bot.toml'}"],
        capture_output=True,
        text=True,
        check=True,
    )
    file = tmp_path / "bot.toml"
    file.write_text(changed.stdout)
    settings = load_settings(file, {})
    assert settings.ledger.url == "sqlite:////var/lib/hourhand/ledger.sqlite"
    assert settings.policy.model == "/var/lib/hourhand/models/current"
    assert settings.refresh.folder == "/var/lib/hourhand/refresh"


def test_a_unit_that_fails_tells(tmp_path: Path) -> None:
    for name in ("hourhand", "hourhand-refresh"):
        assert Unit(UNITS / f"{name}.service")["Unit"]["OnFailure"] == "hourhand-failure@%n.service"
    command = re.search(
        r"^ExecStart=/bin/sh -c '(.*?)'$", (UNITS / "hourhand-failure@.service").read_text(), re.MULTILINE | re.DOTALL
    )
    assert command is not None
    program = tmp_path / "apprise"
    program.write_text(f'#!/bin/sh\necho "$APPRISE_URLS|$*" > {tmp_path}/message\n')
    program.chmod(0o755)
    script = command[1].replace("\\\n", "").replace("%i", "hourhand.service").replace("%H", "here")
    script = script.replace("/opt/hourhand/bin/apprise", str(program))
    for urls in ("", "json://localhost"):
        done = subprocess.run(
            ["sh", "-c", script], env={"HOURHAND_NOTIFY__URLS": urls}, capture_output=True, text=True, check=True
        )
        assert done.stdout == "<2>hourhand.service has failed; see journalctl -u hourhand.service\n"
        assert (tmp_path / "message").exists() == bool(urls)
    assert (
        (tmp_path / "message")
        .read_text()
        .startswith("json://localhost|--title hourhand on here --body hourhand.service")
    )
    assert "hourhand-failure@.service" in (UNITS / "install.sh").read_text()
