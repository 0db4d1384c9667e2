"""The registry: a promotion is whole or has not happened, and nothing bad gets in."""

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from bot.errors import ModelError, UsageError
from bot.model import attach_evaluation, load_model, manifest_of, read_pointer, registry, save_model
from bot.simulator import generate_candles
from bot.trading import dry_run
from tests.bad_models import KINDS, spoil
from tests.harness import environment, hourhand, model_of

MODELS = [model_of(seed) for seed in range(3)]
IDS = [model.model_id for model in MODELS]
BAD_ID = "bad0bad0bad0bad0"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def pointer(tmp_path: Path) -> Path:
    """A registry of three models, the first of them current."""
    for model in MODELS:
        save_model(model, tmp_path / "models" / model.model_id)
    pointer = tmp_path / "models" / "current"
    registry.promote(pointer, IDS[0], 10.0)
    return pointer


def start(program: str, *arguments: object) -> "subprocess.Popen[str]":
    head = (
        "import os, signal, sys; from pathlib import Path; from bot.errors import *\n"
        "from bot.model import attach_evaluation, manifest_of, load_model, save_model, registry\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + program, *map(str, arguments)],
        env=environment(PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def held(pointer: Path) -> list[str]:
    return sorted(entry.name for entry in pointer.parent.iterdir() if not entry.name.endswith(".lock"))


# ---- what it does


def test_promotions_and_rollbacks_go_forth_and_back(pointer: Path) -> None:
    registry.promote(pointer, IDS[1], 20.0)
    registry.promote(pointer, IDS[2], 30.0)
    current = registry.promote(pointer, IDS[2], 40.0)  # it is current already
    assert (current.model_id, current.since) == (IDS[2], 30.0)
    assert [(entry.model_id, entry.since) for entry in current.before] == [(IDS[0], 10.0), (IDS[1], 20.0)]
    assert registry.resolve_model(pointer) == pointer.parent / IDS[2]

    assert registry.rollback(pointer, 50.0).model_id == IDS[1]
    assert registry.rollback(pointer, 60.0).model_id == IDS[0]
    with pytest.raises(ModelError, match="no model before"):
        registry.rollback(pointer, 70.0)
    assert read_pointer(pointer).model_id == IDS[0]


def test_a_shadow_that_is_promoted_is_a_shadow_no_longer(pointer: Path) -> None:
    registry.shadow(pointer, IDS[1])
    registry.shadow(pointer, IDS[2])
    assert registry.promote(pointer, IDS[1], 20.0).shadows == (IDS[2],)
    assert registry.shadow(pointer, IDS[0]).shadows == (IDS[2], IDS[0])
    assert registry.rollback(pointer, 30.0).shadows == (IDS[2],)
    assert registry.unshadow(pointer, IDS[2]).shadows == ()


def test_the_current_model_is_no_shadow_and_what_is_none_cannot_end(pointer: Path) -> None:
    for refused in (registry.shadow, registry.unshadow):
        with pytest.raises(UsageError):
            refused(pointer, IDS[0])
    assert read_pointer(pointer).shadows == ()


def test_a_unique_prefix_is_enough_and_an_ambiguous_one_is_not(pointer: Path) -> None:
    for model_id in ("abcd000000000001", "abcd000000000002"):
        (pointer.parent / model_id).mkdir()
        (pointer.parent / model_id / "model.json").touch()
    assert registry.find_model_id(pointer, IDS[1][:8]) == IDS[1]
    assert registry.find_model_id(pointer, IDS[1]) == IDS[1]
    with pytest.raises(UsageError, match="abcd000000000001, abcd000000000002"):
        registry.find_model_id(pointer, "abcd")
    for nothing in ("", "..", "current", "0" * 16):
        with pytest.raises(ModelError, match="has no model"):
            registry.find_model_id(pointer, nothing)


def test_a_folder_with_another_model_in_it_is_refused(pointer: Path) -> None:
    save_model(MODELS[1], pointer.parent / BAD_ID)
    with pytest.raises(ModelError, match=f"holds model {IDS[1]}"):
        registry.promote(pointer, BAD_ID, 20.0)


def test_an_evaluated_copy_brings_its_evaluation(pointer: Path) -> None:
    evaluated = attach_evaluation(MODELS[1], {"bars": 3})
    assert registry.publish(pointer, evaluated) == "evaluation updated"
    assert registry.publish(pointer, evaluated) == "unchanged"
    assert registry.publish(pointer, MODELS[1]) == "unchanged"
    known = registry.load_published(pointer, IDS[1])
    assert manifest_of(known).evaluation == {"bars": 3}
    assert known.weights == MODELS[1].weights


def test_publish_copies_and_does_not_promote(pointer: Path, tmp_path: Path) -> None:
    model = model_of(9)
    save_model(model, tmp_path / "run")
    for _ in range(2):
        loaded = load_model(tmp_path / "run")
        dry_run(loaded, generate_candles(50, seed=1))
        registry.publish(pointer, loaded)
        assert loaded.model_id == model.model_id
    assert registry.model_ids(pointer) == sorted([*IDS, model.model_id])
    assert load_model(pointer.parent / model.model_id).weights == model.weights
    assert read_pointer(pointer).model_id == IDS[0]


def test_a_fresh_registry_begins_with_its_first_promotion(tmp_path: Path) -> None:
    save_model(MODELS[0], tmp_path / "run")
    pointer = tmp_path / "new" / "current"
    registry.publish(pointer, load_model(tmp_path / "run"))
    assert registry.promote(pointer, IDS[0], 5.0) == registry.Pointer(IDS[0], 5.0)


def test_the_signature_changes_with_every_promotion(pointer: Path) -> None:
    seen = [registry.signature(pointer)]
    for _ in range(20):
        for model_id in (IDS[1], IDS[0]):
            registry.promote(pointer, model_id, 20.0)
            seen.append(registry.signature(pointer))
    assert all(before != now for before, now in pairwise(seen))


@pytest.mark.parametrize("name", ["../models", "", ".", "..", "a/b", "0000000000000000"])
def test_what_is_no_model_of_the_registry_is_refused(pointer: Path, name: str) -> None:
    before = pointer.read_bytes()
    with pytest.raises(ModelError):
        registry.promote(pointer, name, 20.0)
    with pytest.raises(ModelError):
        registry.shadow(pointer, name)
    assert pointer.read_bytes() == before


def test_a_models_folder_is_no_registry(pointer: Path) -> None:
    with pytest.raises(UsageError, match="name a pointer"):
        registry.promote(pointer.parent / IDS[0], IDS[1], 20.0)


# ---- what it refuses


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_model_is_neither_published_nor_promoted_nor_rolled_back_to(
    pointer: Path, tmp_path: Path, kind: str
) -> None:
    crater = tmp_path / "crater"
    bad = spoil(MODELS[1], kind, tmp_path / "bad", crater)
    before = held(pointer)
    with pytest.raises(ModelError, match=KINDS[kind]):
        registry.publish(pointer, load_model(bad))
    assert held(pointer) == before

    spoil(MODELS[1], kind, pointer.parent / BAD_ID, crater)
    for refused in (registry.promote, lambda *arguments: registry.shadow(*arguments[:2])):
        with pytest.raises(ModelError, match=KINDS[kind]):
            refused(pointer, BAD_ID, 20.0)
    pointer.write_text(json.dumps({"model_id": IDS[0], "before": [{"model_id": BAD_ID, "since": 1.0}]}))
    with pytest.raises(ModelError, match=KINDS[kind]):
        registry.rollback(pointer, 20.0)
    assert read_pointer(pointer).model_id == IDS[0]
    assert not crater.exists()


def test_the_command_refuses_in_one_sentence_and_runs_nothing(pointer: Path, tmp_path: Path) -> None:
    crater = tmp_path / "crater"
    bad = spoil(MODELS[1], "pickled", tmp_path / "bad", crater)
    process = hourhand("models", "publish", str(bad), cwd=tmp_path, HOURHAND_POLICY__MODEL=str(pointer))
    assert (process.returncode, process.stdout, len(process.stderr.splitlines())) == (5, "", 1)
    assert not crater.exists()


def test_a_pointer_that_is_none_is_refused(pointer: Path) -> None:
    for nonsense in (b"", b"{", b'{"model_id": 3}', b"\xff", b"[]"):
        pointer.write_bytes(nonsense)
        with pytest.raises(ModelError, match="nor a pointer"):
            registry.resolve_model(pointer)


# ---- whole or not at all

PROMOTE_BY_TURNS = """
pointer, *mine = sys.argv[1:]
for turn in range(40):
    registry.promote(Path(pointer), mine[turn % 2], 20.0 + turn)
"""


def test_processes_that_promote_at_once_lose_nothing(pointer: Path) -> None:
    more = [model_of(seed) for seed in range(20, 26)]
    for model in more:
        save_model(model, pointer.parent / model.model_id)
    ids = [model.model_id for model in more]
    processes = [start(PROMOTE_BY_TURNS, pointer, *ids[place : place + 2]) for place in (0, 2, 4)]
    while any(process.poll() is None for process in processes):
        assert read_pointer(pointer).model_id in {IDS[0], *ids}  # whenever it is looked at
    for process in processes:
        assert process.communicate() == ("", "")
        assert process.returncode == 0
    # Each of them always promoted another model than its last, so all the 120 changed something, and all are there.
    current = read_pointer(pointer)
    assert len(current.before) == 120
    assert all(before.model_id != now.model_id for before, now in pairwise(current.before))


KILLED = """
place, name, pointer, what = sys.argv[1:]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
setattr({"os": os, "Path": Path}[place], name, die)
if Path(what).is_dir():
    registry.publish(Path(pointer), load_model(Path(what)))
else:
    registry.promote(Path(pointer), what, 20.0)
"""


@pytest.mark.parametrize(("place", "name"), [("os", "fsync"), ("Path", "replace")])
def test_killed_in_the_middle_of_a_promotion_the_old_model_stays(pointer: Path, place: str, name: str) -> None:
    before = pointer.read_bytes()
    process = start(KILLED, place, name, pointer, IDS[1])
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert pointer.read_bytes() == before
    assert registry.promote(pointer, IDS[1], 30.0).model_id == IDS[1]
    assert held(pointer) == sorted(["current", *IDS])


@pytest.mark.parametrize(("place", "name"), [("os", "fsync"), ("Path", "rename")])
def test_killed_in_the_middle_of_publishing_there_is_no_new_model(
    pointer: Path, tmp_path: Path, place: str, name: str
) -> None:
    model = model_of(9)
    save_model(model, tmp_path / "run")
    process = start(KILLED, place, name, pointer, tmp_path / "run")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert registry.model_ids(pointer) == sorted(IDS)
    assert read_pointer(pointer).model_id == IDS[0]
    registry.publish(pointer, load_model(tmp_path / "run"))
    assert registry.model_ids(pointer) == sorted([*IDS, model.model_id])


FULL = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
pointer, what = map(Path, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
try:
    registry.publish(pointer, load_model(what)) if what.is_dir() else registry.promote(pointer, str(what), 20.0)
except ModelError as error:
    print(error)
"""


def test_without_room_to_write_everything_stays_as_it_was(pointer: Path, tmp_path: Path) -> None:
    """A limit on the size of files: a write fails in the middle, as it does on a full disk."""
    save_model(model_of(9), tmp_path / "run")
    before, content = held(pointer), pointer.read_bytes()
    for what, sentence in ((IDS[1], "could not be written"), (tmp_path / "run", "could not be copied")):
        stdout, errors = start(FULL, pointer, what).communicate()
        assert (sentence in stdout, errors) == (True, "")
        assert held(pointer) == before
        assert pointer.read_bytes() == content


def test_a_registry_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    save_model(MODELS[0], tmp_path / "run")
    with pytest.raises(ModelError, match="cannot be written"):
        registry.publish(tmp_path / "file" / "current", load_model(tmp_path / "run"))


def test_the_lock_of_a_killed_process_is_free(pointer: Path) -> None:
    process = start("""
import fcntl, time
handle = Path(sys.argv[1]).open("w")
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
""", pointer.with_name(".current.lock"))  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert registry.promote(pointer, IDS[1], 20.0).model_id == IDS[1]
