"""`hourhand init`: everything that a bot begins with, or nothing."""

import json
from pathlib import Path

import pytest

from bot.model import read_pointer, shipped_ids
from bot.settings import Settings, load_settings
from tests.harness import hourhand


def test_it_writes_settings_models_and_gitignore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "README.md").write_text("mine")
    done = hourhand("init", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("wrote hourhand.toml, models/, .gitignore\n\nnext:\n  hourhand doctor ")
    monkeypatch.chdir(tmp_path)
    assert load_settings(None, {}) == Settings()
    assert read_pointer(Path("models/current")).model_id in shipped_ids()
    assert sorted(path.name for path in Path("models").iterdir() if path.is_dir()) == shipped_ids()
    assert Path(".gitignore").read_text() == "/models/\n/var/\n"


@pytest.mark.parametrize("taken", ["hourhand.toml", ".gitignore", "models/current"])
def test_it_writes_nothing_where_a_file_of_its_is_there(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("mine")
    done = hourhand("init", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"hourhand: init: {taken} already exists")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == [taken]


def test_it_can_be_read_by_a_machine(tmp_path: Path) -> None:
    told = json.loads(hourhand("init", "--json", cwd=tmp_path).stdout)
    assert told == {
        "wrote": ["hourhand.toml", "models/", ".gitignore"],
        "next": ["hourhand doctor", "hourhand run", "hourhand status"],
    }
