"""Completion of the command line in bash, zsh and fish."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bot.commands.completion import SHELLS
from tests.harness import environment, hourhand

ROOT = Path(__file__).parents[3]


def completed(package: str, line: str, tmp_path: Path) -> list[str]:
    """What argcomplete's code in a shell gets for a command line."""
    answer = tmp_path / "answer"
    answer.touch()
    subprocess.run(
        [sys.executable, "-m", package],
        cwd=tmp_path,
        env=environment(
            PYTHONPATH=str(ROOT), _ARGCOMPLETE="1", _ARGCOMPLETE_STDOUT_FILENAME=str(answer), _ARGCOMPLETE_IFS="\n",
            COMP_LINE=line, COMP_POINT=str(len(line)),
        ),
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    return [word.strip() for word in answer.read_text().split("\n")]


@pytest.mark.parametrize(
    ("package", "line", "word"),
    [
        ("bot", "hourhand st", "status"),
        ("bot", "hourhand models pro", "promote"),
        ("bot", "hourhand export cand", "candles"),
        ("bot", "hourhand run --log-f", "--log-file"),
        ("training", "hourhand-train ev", "evaluate"),
        ("training", "hourhand-train train --pre", "--preset"),
        ("training", "hourhand-train train --preset art", "article"),
    ],
)
def test_words_are_completed(package: str, line: str, word: str, tmp_path: Path) -> None:
    assert completed(package, line, tmp_path) == [word]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_code_that_it_can_read(shell: str, tmp_path: Path) -> None:
    done = hourhand("completion", shell, cwd=tmp_path)
    assert done.returncode == 0
    assert "hourhand-train" in done.stdout
    program = shutil.which(shell)
    if program:
        checked = subprocess.run([program, "-n"], input=done.stdout, text=True, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
