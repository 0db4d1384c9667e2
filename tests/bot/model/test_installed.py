"""A policy of another package: ten lines, a real distribution, live and proven, and clear words where it is missing."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bot.errors import ModelError
from bot.ledger import open_writer, verify
from bot.model import Observation, describe, installed_model, load_model, named_model, save_model
from bot.service import replay_candles
from bot.simulator import generate_candles
from bot.trading import AccountTerms, Rules, Trader
from tests.harness import environment

ROOT = Path(__file__).parents[3]
MARKET = "here:BTC/USD:1h"
CANDLES = generate_candles(120, seed=4, holes=0.0)
GUIDE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
DIPS = next(text for text in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "class Dips" in text)
PROJECT = next(text for text in re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL) if "hourhand.policies" in text)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the documentation, installed by pip into a folder of its own."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "dips.py").write_text(DIPS, encoding="utf-8")
    (source / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*words, "--target", str(target), str(source)], check=True, capture_output=True)
    return target


@pytest.fixture
def installed(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the installed package on the path of this process, which a test may change."""
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("dips", None)


def alter(folder: Path, before: str, after: str) -> None:
    """Change the installed module, as an update does."""
    module = folder / "dips.py"
    text = module.read_text(encoding="utf-8")
    assert before in text
    module.write_text(text.replace(before, after), encoding="utf-8")
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    sys.modules.pop("dips", None)


def rename_version(folder: Path, version: str) -> None:
    metadata = next(folder.glob("dips-*.dist-info")) / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", f"Version: {version}"))


@pytest.mark.usefixtures("installed")
def test_ten_lines_are_a_policy() -> None:
    assert len([line for line in DIPS.splitlines() if line.strip()]) <= 12
    model = named_model("policy:dips")
    assert model.model_id == installed_model("dips").model_id
    assert describe(model) == "policy dips of the package dips 1.0"
    ledger = open_writer("sqlite://")
    replay_candles(ledger, Trader(AccountTerms("main", MARKET), model), CANDLES, 10)
    with ledger.reading() as connection:
        assert verify(connection) == (110, [])
    ledger.close()


def test_its_name_its_version_and_what_it_does_are_its_identity(installed: Path, tmp_path: Path) -> None:
    model = installed_model("dips")
    save_model(model, tmp_path / "model")
    rename_version(installed, "1.1")
    assert installed_model("dips").model_id != model.model_id
    assert load_model(tmp_path / "model").model_id == model.model_id  # another version that does the same
    alter(installed, "0.02", "0.03")
    assert installed_model("dips").model_id != model.model_id
    with pytest.raises(ModelError, match=r"policy dips of the package dips 1\.0 decides differently here"):
        load_model(tmp_path / "model")


@pytest.mark.usefixtures("installed")
def test_several_accounts_are_asked_one_by_one() -> None:
    policy = installed_model("dips").policy
    seen = Observation(CANDLES[9], CANDLES[8], np.array([1.0, 2.0]), np.array([0.0, 1.0]), Rules())
    output = policy.step(seen, np.tile(policy.start(), (2, 1)))
    assert (output.probabilities.shape, output.value.shape, output.memory.shape) == ((2, 3), (2,), (2, 0))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("class Dips", "class Other", "cannot be made: AttributeError"),
        ("return []", "raise OSError('no')", "cannot start: OSError: no"),
        ("return []", "return [float('nan')]", "must be finite"),
        ("return []", "return 'text'", "cannot start: ValueError"),
        ("[0, 1, 0]", "[0, 2, 0]", "add up to 1"),
        ("[0, 1, 0]", "None", "add up to 1, not nan"),
        ("0.0, memory", "1 / 0, memory", "fails on the candle of 1577836800: ZeroDivisionError: division by zero"),
        ("0.0, memory", "0.0, [1.0]", "constant length"),
        ("0.0, memory", "0.0 + id(object()) % 1000 + __import__('time').time(), memory", "in two ways"),
    ],
)
def test_a_policy_that_fails_or_breaks_a_promise_is_refused(
    installed: Path, before: str, after: str, words: str
) -> None:
    alter(installed, before, after)
    with pytest.raises(ModelError) as refused:
        named_model("policy:dips")
    assert words in str(refused.value)


@pytest.mark.usefixtures("installed")
def test_a_name_that_no_package_has() -> None:
    with pytest.raises(ModelError, match="has a policy 'tops'; there are dips"):
        named_model("policy:tops")


def test_it_says_how_much_history_it_wants(installed: Path) -> None:
    trader = Trader(AccountTerms("main", MARKET), installed_model("dips"))
    assert (trader.warmup_bars(None), trader.warmup_bars(7)) == (500, 7)
    alter(installed, "class Dips:", "class Dips:\n    warmup_bars = 2000")
    assert Trader(AccountTerms("main", MARKET), installed_model("dips")).warmup_bars(None) == 2000
    alter(installed, "warmup_bars = 2000", "warmup_bars = 'all'")
    with pytest.raises(ModelError, match="wants a warm-up of 'all' bars"):
        Trader(AccountTerms("main", MARKET), installed_model("dips")).warmup_bars(None)


def test_two_packages_of_one_name(installed: Path) -> None:
    shutil.copytree(next(installed.glob("dips-*.dist-info")), installed / "tips-1.0.dist-info")
    metadata = installed / "tips-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Name: dips", "Name: tips"))
    with pytest.raises(ModelError, match="dips, tips; remove all but one"):
        named_model("policy:dips")


def test_the_commands_know_it_and_say_where_it_is_missing(site: Path, tmp_path: Path) -> None:
    """`verify` without the package names it, and ends with 4; `replay` with 5."""
    candles = tmp_path / "candles.csv"
    lines = [",".join(map(str, candle[:6])) for candle in CANDLES]
    candles.write_text("\n".join(["t,o,h,l,c,v", *lines]) + "\n")
    url = f"sqlite:///{tmp_path}/replay.sqlite"
    given = ["replay", "--candles", str(candles), "--model", "policy:dips", "--ledger", url, "--json"]

    def hourhand(*words: str, path: str) -> subprocess.CompletedProcess[str]:
        env = environment(PYTHONPATH=path, HOURHAND_LEDGER__URL=url)
        command = [sys.executable, "-m", "bot", *words]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)

    without, beside = str(ROOT), os.pathsep.join([str(ROOT), str(site)])
    done = hourhand(*given, path=beside)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trades"] > 0
    assert json.loads(hourhand("verify", "--json", path=beside).stdout)["differences"] == 0
    missing = hourhand("verify", "--json", path=without)
    assert missing.returncode == 4
    assert "it needs the policy dips of the package dips 1.0" in missing.stdout
    refused = hourhand(*given, path=without)
    assert refused.returncode == 5
    assert "no package that is installed here has a policy 'dips'" in refused.stderr
