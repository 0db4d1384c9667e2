"""CI fails on a skip that nobody expects there; elsewhere it stays a skip."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import environment

ROOT = Path(__file__).parents[1]
SKIPPED = {
    "mark": "@pytest.mark.skipif(True, reason='needs a moon')\ndef test_it(): ...",
    "call": "def test_it(): pytest.skip('needs a moon')",
    "fixture": "@pytest.fixture\ndef moon(): pytest.skip('needs a moon')\ndef test_it(moon): ...",
    "module": "pytest.importorskip('no_such_module')",
    "expected": "def test_it(): pytest.skip('needs the real candles, file.csv')",
    "xfail": "@pytest.mark.xfail\ndef test_it(): raise ValueError",
}


def exit_code(folder: Path, body: str, ci: str) -> int:
    file = folder / "test_one.py"
    file.write_text(f"import pytest\n{body}\ndef test_that_runs(): ...\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.skips", "-p", "no:cacheprovider", str(file)]
    env = environment(CI=ci, PYTHONPATH=str(ROOT))
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False, timeout=60).returncode


@pytest.mark.parametrize("kind", SKIPPED)
def test_ci_fails_on_a_skip_that_is_not_expected(kind: str, tmp_path: Path) -> None:
    code = exit_code(tmp_path, SKIPPED[kind], ci="true")
    assert (code == 0) == (kind in {"expected", "xfail"})


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path) -> None:
    assert exit_code(tmp_path, SKIPPED["mark"], ci="") == 0
