"""Standard streams that are closed, full or gone, and what comes from the environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import environment, filled, model_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a ledger."""
    filled(tmp_path / "ledger.sqlite", model_of(1))
    return tmp_path


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in the folder; `$H` is hourhand."""
    env = environment(
        PYTHONPATH=str(ROOT), H=f"{sys.executable} -m bot", HOURHAND_LEDGER__URL=f"sqlite:///{folder}/ledger.sqlite"
    )
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("$H export candles | head -1", 0),
        ("$H status | true", 0),
        ("$H status >&-", 0),
        ("$H status >/dev/full", 0),
        ("$H verify --json >/dev/full", 0),
        ("$H verify --holds 00 >/dev/full", 4),
        ("$H --help >/dev/full", 0),
        ("$H export candles >/dev/full", 1),
        ("$H status 2>&-", 0),
        ("$H status --account nobody 2>/dev/full", 2),
        ("$H status <&- >&- 2>&-", 0),
    ],
)
def test_a_closed_or_full_stream_is_no_failure_of_what_was_done(folder: Path, line: str, code: int) -> None:
    done = shell(folder, line)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") <= 1


@pytest.mark.parametrize(
    "line",
    [
        r"HOURHAND_ACCOUNT__NAME=$'\xff' $H status",
        r"HOURHAND_CLOCK=$'\xff' $H status",
        r"$H status --account $'\xff'",
        '$H verify --ledger ""',
        "$H trades --last 0",
        "$H trades --last=-3",
        "$H trades --account nobody",
        "$H status --account nobody",
        "$H compare --account nobody",
        "$H report --out r.html --account nobody",
        "HOURHAND_CONFIG=nowhere.toml $H status",
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_2(folder: Path, line: str) -> None:
    done = shell(folder, line)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hourhand: ")
    assert done.stderr.count("\n") == 1


def test_no_error_shows_a_password(folder: Path) -> None:
    for url in ("postgresql://u:hunter2@127.0.0.1:1/x", "mysql://u:hunter2@h/x", "postgresql://u:hunter2@h:port/x"):
        done = shell(folder, f"HOURHAND_LEDGER__URL='{url}' $H status")
        assert done.returncode in (2, 4)
        assert "hunter2" not in done.stderr + done.stdout


def test_files_are_utf8_whatever_the_locale(folder: Path) -> None:
    (folder / "hourhand.toml").write_text('[account]\nname = "größe"\n', encoding="utf-8")
    done = shell(folder, "LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 $H status --json")
    assert done.returncode == 0, done.stderr
    assert "gr\\u00f6\\u00dfe" in done.stdout


def test_an_empty_ledger_is_a_sentence(folder: Path) -> None:
    done = shell(folder, "HOURHAND_ACCOUNT__NAME=other $H status")
    assert done.stdout.startswith("account other has not decided a bar yet")


def test_a_kept_link_that_is_not_in_the_chain(folder: Path) -> None:
    done = shell(folder, "$H verify --holds $($H status --json | grep -o '[0-9a-f]\\{64\\}' | head -1)")
    assert done.returncode == 0, done.stderr
    done = shell(folder, f"$H verify --json --holds {'0' * 64}")
    assert done.returncode == 4
    assert '"differences": 1' in done.stdout


def test_backup_and_restore(folder: Path) -> None:
    done = shell(folder, "$H backup copy.sqlite && rm ledger.sqlite* && $H restore copy.sqlite && $H verify")
    assert done.returncode == 0, done.stderr
    (folder / "bad.sqlite").write_bytes(b"x" * 5000)
    before = (folder / "ledger.sqlite").read_bytes()
    done = shell(folder, "$H restore bad.sqlite")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert (folder / "ledger.sqlite").read_bytes() == before


def test_settings_are_found_in_order(folder: Path) -> None:
    places = ["explicit.toml", "variable.toml", "hourhand.toml", "config/bot.toml", "home/hourhand/hourhand.toml"]
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(f'[account]\nname = "{place}"\n', encoding="utf-8")
    line = f"XDG_CONFIG_HOME={folder}/home"
    for place in places:
        given = " --config explicit.toml" if place == places[0] else ""
        variable = " HOURHAND_CONFIG=variable.toml" if place in places[:2] else ""
        done = shell(folder, f"{line}{variable} $H status{given}")
        assert f"account {place} has not" in done.stdout, done.stderr
        os.remove(folder / place)  # noqa: PTH107


def test_no_command_and_no_log_line_repeats_an_escape_sequence(folder: Path) -> None:
    lines = ["$H status", "$H trades", "$H status $'\\e[31mX'", "$H trades --account $'\\e[31mX'"]
    log = "from bot import log; import structlog; log.set_up(lambda: 0.0, people=True); "
    log += "structlog.get_logger().info('bar', account='\\x1b[31mX')"
    done = shell(
        folder, f"export HOURHAND_ACCOUNT__NAME=$'\\e[31mX'; {'; '.join(lines)}; {sys.executable} -c \"{log}\""
    )
    assert done.stdout.count("\\x1b[31m") == 2, done
    assert done.stderr.count("\\x1b[31m") == 3, done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_no_error_shows_python_or_a_secret(folder: Path) -> None:
    lines = ["$H export candles --out nowhere/x.csv", "$H report --out nowhere/x.html"]
    lines += [
        "$H status postgresql://user:Zqsecret@host/db",
        "HOURHAND_EXCHANGE__BASE_URL=http://127.0.0.1:9 $H doctor",
    ]
    done = shell(folder, "; ".join(lines))
    said = done.stdout + done.stderr
    assert "x.csv cannot be written: No such file or directory\n" in said
    assert "x.html cannot be written: No such file or directory\n" in said
    assert "unrecognized arguments: postgresql://***@host/db\n" in said
    assert "bitfinex cannot be reached: Connection refused" in said
    assert "Errno" not in said
    assert "Zqsecret" not in said
