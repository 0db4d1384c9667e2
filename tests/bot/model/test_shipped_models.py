"""The models that come with the package, and the registry that is made from them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bot.errors import ModelError
from bot.model import SHIPPED_POINTER, attach_evaluation, load_model, read_pointer, registry, resolve_model, save_model
from bot.model.shipped_models import DEFAULT_POINTER, SHIPPED
from tests.harness import environment, hourhand, model_of

ROOT = Path(__file__).parents[3]
IDS = sorted(folder.name for folder in SHIPPED.iterdir() if folder.is_dir())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that everything runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_the_first_command_makes_the_registry(folder: Path) -> None:
    done = hourhand("models", "list", "--json", cwd=folder)
    assert json.loads(done.stdout)["current"] == read_pointer(SHIPPED_POINTER).model_id
    assert registry.model_ids(DEFAULT_POINTER) == IDS
    assert read_pointer(DEFAULT_POINTER) == read_pointer(SHIPPED_POINTER)


def test_git_does_not_track_the_registry() -> None:
    root = Path(__file__).parents[3]
    tracked = subprocess.run(["git", "ls-files", "models"], cwd=root, capture_output=True, text=True, check=False)
    assert tracked.stdout == ""


def test_an_existing_registry_is_never_changed(folder: Path) -> None:
    model = model_of(1)
    save_model(model, folder / "models" / model.model_id)
    registry.promote(DEFAULT_POINTER, model.model_id, 5.0)
    before = content(folder)
    assert load_model(resolve_model(DEFAULT_POINTER)).model_id == model.model_id
    assert content(folder) == before


def test_a_shipped_model_that_is_missing_comes_back_as_it_was_published(folder: Path) -> None:
    (shipped,) = IDS
    resolve_model(DEFAULT_POINTER)
    other = model_of(1)
    registry.publish(DEFAULT_POINTER, other)
    registry.promote(DEFAULT_POINTER, other.model_id, 5.0)
    evaluated = attach_evaluation(other, {"bars": 1})
    registry.publish(DEFAULT_POINTER, evaluated)
    shutil.rmtree(folder / "models" / shipped)
    assert registry.rollback(DEFAULT_POINTER, 6.0).model_id == shipped
    assert load_model(resolve_model(Path("models", shipped))).model_id == shipped
    assert load_model(folder / "models" / other.model_id).manifest == evaluated.manifest


def test_another_pointer_is_the_users_own(folder: Path) -> None:
    with pytest.raises(ModelError, match="neither a model nor a pointer"):
        resolve_model(folder / "models" / "current")
    assert not (folder / "models").exists()


def test_processes_that_make_it_at_once_make_it_once(folder: Path) -> None:
    program = (
        "from pathlib import Path; from bot.model import resolve_model; print(resolve_model(Path('models/current')))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=folder,
            env=environment(PYTHONPATH=str(ROOT)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    current = read_pointer(SHIPPED_POINTER).model_id
    assert [process.communicate() for process in processes] == [(f"models/{current}\n", "")] * 4
    shipped = content(SHIPPED)
    made = content(folder / "models")
    assert made.keys() == shipped.keys()
    assert all(made[name] == shipped[name] for name in shipped if name != "current")


def git(*arguments: str, cwd: Path, code: int = 0) -> str:
    variables = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=cwd, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stderr


@pytest.fixture
def checkout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of when `models/` was tracked, whose origin has it no longer."""
    origin, clone = folder / "origin", folder / "clone"
    shutil.copytree(SHIPPED, origin / "models")
    git("init", "-q", cwd=origin)
    git("add", ".", cwd=origin)
    git("commit", "-qm", "tracked", cwd=origin)
    git("clone", "-q", str(origin), str(clone), cwd=folder)
    git("rm", "-rq", "models", cwd=origin)
    (origin / ".gitignore").write_text("/models/\n")
    git("add", ".", cwd=origin)
    git("commit", "-qm", "ignored", cwd=origin)
    monkeypatch.chdir(clone)
    return clone


def test_a_pull_that_stops_tracking_the_registry_loses_no_model(checkout: Path) -> None:
    model = model_of(1)
    registry.publish(DEFAULT_POINTER, model)
    git("pull", "-q", cwd=checkout)
    assert load_model(resolve_model(DEFAULT_POINTER)).model_id == read_pointer(SHIPPED_POINTER).model_id
    assert registry.model_ids(DEFAULT_POINTER) == sorted([*IDS, model.model_id])


def test_a_pull_refuses_to_overwrite_a_promotion_which_is_kept_by_putting_it_aside(checkout: Path) -> None:
    model = model_of(1)
    registry.publish(DEFAULT_POINTER, model)
    promoted = registry.promote(DEFAULT_POINTER, model.model_id, 5.0)
    assert "models/current" in git("pull", "-q", cwd=checkout, code=1)
    assert read_pointer(DEFAULT_POINTER) == promoted

    mine = checkout / "models" / "current.mine"  # the three commands of docs/models.md
    shutil.copy(DEFAULT_POINTER, mine)
    git("checkout", "-q", "models/current", cwd=checkout)
    git("pull", "-q", cwd=checkout)
    mine.rename(DEFAULT_POINTER)
    assert read_pointer(DEFAULT_POINTER) == promoted
    assert load_model(resolve_model(DEFAULT_POINTER)).model_id == model.model_id
    assert registry.rollback(DEFAULT_POINTER, 6.0).model_id in IDS
