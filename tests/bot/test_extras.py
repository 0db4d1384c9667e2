"""A missing extra is one sentence that names it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bot.errors import UsageError
from bot.extras import PACKAGES, extras_required
from tests.harness import environment
from training.cli import COMMANDS

ROOT = Path(__file__).parents[2]
BARRED = f"""
import sys

class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {set(PACKAGES)!r}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Barred())
from training.cli import main
sys.exit(main(sys.argv[1:]))
"""


def train(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`hourhand-train` where no extra is installed."""
    return subprocess.run(
        [sys.executable, "-c", BARRED, *arguments],
        cwd=cwd, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_no_extra(command: str, tmp_path: Path) -> None:
    done = train(command, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"hourhand-train {command}" in done.stdout


def test_candles_in_csv_need_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,o,h,l,c,v\n0,1,2,1,2,3\n3600,2,3,2,2,0\n")
    assert train("import", "a.csv", "--out", "b.csv", cwd=tmp_path).returncode == 0
    done = train("import", "a.csv", "--out", "b.parquet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2, "hourhand-train: Parquet needs the extra parquet: pip install 'hourhand[parquet]'\n",
    )  # fmt: skip


def test_training_says_what_it_needs(tmp_path: Path) -> None:
    rows = "".join(f"{3600 * i},1,2,1,1.5,3\n" for i in range(900))
    (tmp_path / "a.csv").write_text(f"t,o,h,l,c,v\n{rows}")
    done = train("train", "--candles", "a.csv", "--out", "model", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2, "hourhand-train: hourhand-train needs the extra training: pip install 'hourhand[training]'\n",
    )  # fmt: skip
    assert not (tmp_path / "model").exists()


def test_only_packages_of_extras_are_meant() -> None:
    with (
        pytest.raises(UsageError, match=r"^x needs the extra lab: pip install 'hourhand\[lab\]'$"),
        extras_required("x"),
    ):
        raise ModuleNotFoundError(name="ray.util")
    with pytest.raises(ModuleNotFoundError), extras_required("x"):
        raise ModuleNotFoundError(name="bot.nothing")


def test_every_package_belongs_to_the_extra_that_brings_it() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brought = {
        extra: {re.split(r"[^\w-]", need)[0].lower().replace("-", "_") for need in needs}
        for extra, needs in extras.items()
    }
    for package, extra in PACKAGES.items():
        assert extra not in brought or package in brought[extra] | {"starlette"}, package
