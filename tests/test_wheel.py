"""The wheel alone, in a fresh environment and an empty folder."""

import json
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from bot import __version__
from bot.extras import PACKAGES
from bot.settings import Settings, load_settings
from tests.harness import environment

ROOT = Path(__file__).parents[1]
PINNED = re.compile(r"^([\w.-]+==\S+?)(?: ;[^\\]*)? \\$", re.MULTILINE)

pytestmark = pytest.mark.slow


def run(*command: object, cwd: Path, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment(PYTHONPATH="", **env),
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == code, f"{command}: {done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python -m build` makes: a source distribution, and a wheel from that."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def bin_folder(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a fresh environment with the wheel and what it says that it needs, in the locked versions."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(PINNED.findall((ROOT / "requirements-daemon.lock").read_text())))
    wheel = next(dist.glob("*.whl"))
    run(folder / "bin/python", "-m", "pip", "install", "--quiet", "--constraint", constraints, wheel, cwd=folder)
    return folder / "bin"


def test_the_distributions_are_sound(dist: Path) -> None:
    assert sorted(path.name for path in dist.iterdir()) == [
        f"hourhand-{__version__}-py3-none-any.whl", f"hourhand-{__version__}.tar.gz",
    ]  # fmt: skip
    run(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir(), cwd=dist)


def test_nothing_else_lands_at_the_top(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert {name.partition("/")[0] for name in names} == {"bot", "training", f"hourhand-{__version__}.dist-info"}
    wanted = ("bot/hourhand.toml", "bot/py.typed", "training/py.typed", "bot/model/shipped/current")
    assert set(wanted) <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_from_an_empty_folder_to_a_running_bot(bin_folder: Path, tmp_path: Path) -> None:
    hourhand = bin_folder / "hourhand"
    assert run(hourhand, "--version", cwd=tmp_path).stdout == f"hourhand {__version__}\n"
    demo = run(hourhand, "demo", "--json", cwd=tmp_path)
    assert json.loads(demo.stdout)["ok"]
    assert list(tmp_path.iterdir()) == []

    assert "hourhand doctor" in run(hourhand, "init", cwd=tmp_path).stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitignore", "hourhand.toml", "models"]
    assert load_settings(tmp_path / "hourhand.toml", {}).account == Settings().account
    again = run(hourhand, "init", cwd=tmp_path, code=2)
    assert "hourhand.toml already exists" in again.stderr

    with subprocess.Popen(
        [hourhand, "simulate", "--seed", "7", "--speed", "3600"],
        cwd=tmp_path, env=environment(PYTHONPATH=""), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as exchange:  # fmt: skip
        try:
            assert exchange.stdout is not None
            told = dict(
                re.findall(r"(HOURHAND_\w+)='?([^\s']+)", "".join(exchange.stdout.readline() for _ in range(12)))
            )
            assert told
            doctor = run(hourhand, "doctor", "--json", cwd=tmp_path, **told)
            assert json.loads(doctor.stdout)["ok"]
            once = run(hourhand, "run", "--once", "--json", cwd=tmp_path, **told)
            assert json.loads(once.stdout)["bars"] == 1
            verified = run(hourhand, "verify", "--json", cwd=tmp_path, **told)
            assert json.loads(verified.stdout) == {"bars": 1, "differences": 0, "details": []}
        finally:
            exchange.terminate()


def test_what_is_missing_is_one_sentence(bin_folder: Path, tmp_path: Path) -> None:
    hourhand, train = bin_folder / "hourhand", bin_folder / "hourhand-train"
    python = bin_folder / "python"
    for package in PACKAGES:
        run(python, "-c", f"import {package}", cwd=tmp_path, code=1)
    candles = tmp_path / "candles.csv"
    candles.write_text("t,o,h,l,c,v\n" + "".join(f"{3600 * i},1,2,1,1.5,3\n" for i in range(900)))
    sentence = "hourhand-train: hourhand-train needs the extra training: pip install 'hourhand[training]'\n"
    for command in (
        ["train", "--candles", candles, "--out", tmp_path / "model", "--from", "1970-01-02"],
        ["article", "--candles", candles, "--out", tmp_path / "article", "--from", "1970-01-01", "--to", "1970-02-01"],
        ["bench", "--candles", candles],
    ):
        assert run(train, *command, cwd=tmp_path, code=2).stderr == sentence, command
    done = run(train, "import", candles, "--out", tmp_path / "x.parquet", cwd=tmp_path, code=2)
    assert done.stderr == "hourhand-train: Parquet needs the extra parquet: pip install 'hourhand[parquet]'\n"
    url = {"HOURHAND_LEDGER__URL": "postgresql://u@localhost/none"}
    done = run(hourhand, "status", cwd=tmp_path, code=2, **url)
    assert done.stderr == "hourhand: ledger.url needs the extra postgres: pip install 'hourhand[postgres]'\n"
    done = run(hourhand, "run", cwd=tmp_path, code=2, HOURHAND_NOTIFY__URLS="json://localhost")
    assert done.stderr == "hourhand: notify.urls needs the extra notify: pip install 'hourhand[notify]'\n"
    done = run(hourhand, "serve", cwd=tmp_path, code=2)
    assert done.stderr == "hourhand: hourhand serve needs the extra web: pip install 'hourhand[web]'\n"


def test_help_needs_no_extra(bin_folder: Path, tmp_path: Path) -> None:
    for program in ("hourhand", "hourhand-train"):
        overview = run(bin_folder / program, "--help", cwd=tmp_path).stdout
        for command in re.findall(r"^    ([a-z]+)(?:  |$)", overview, re.MULTILINE):
            assert "example:" in run(bin_folder / program, command, "--help", cwd=tmp_path).stdout
