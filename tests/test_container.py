"""The image and its composition, as far as they can be read without an engine."""

import fnmatch
import json
import re
from pathlib import Path
from typing import Any

import pytest

from bot.cli import COMMANDS
from bot.settings import load_settings

ROOT = Path(__file__).parents[1]
INSTRUCTION = re.compile(r"^([A-Z]+) +(.*)$")


def stages() -> dict[str, list[tuple[str, str]]]:
    """Each stage's instructions, those of the stages that it is built from first."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    found: dict[str, list[tuple[str, str]]] = {}
    stage: list[tuple[str, str]] = []
    for line in text.splitlines():
        match = INSTRUCTION.match(line)
        if match is None:
            continue
        word, rest = match.groups()
        if word == "FROM":
            origin, _, name = rest.partition(" AS ")
            found[name] = stage = list(found.get(origin, []))
        stage.append((word, rest))
    return found


def last(stage: str, word: str) -> str:
    """The instruction of that word which holds in the stage."""
    return [rest for found, rest in stages()[stage] if found == word][-1]


def composition() -> dict[str, Any]:
    """compose.yaml, its merges resolved."""
    yaml = pytest.importorskip("yaml")
    told: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return told


def test_the_daemons_image_has_no_torch_and_is_the_default() -> None:
    assert list(stages())[-1] == "daemon"
    assert last("daemon", "COPY") == "--from=build /opt/hourhand /opt/hourhand"
    assert "training" not in " ".join(rest for word, rest in stages()["build"] if word == "RUN")
    assert last("training", "COPY") == "--from=build-training /opt/hourhand /opt/hourhand"


@pytest.mark.parametrize("stage", ["daemon", "training"])
def test_the_process_is_not_root_and_hears_its_signals(stage: str) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last(stage, "USER"))
    command = json.loads(last(stage, "CMD"))  # the exec form: no shell between the signal and the process
    assert command[0] in {"hourhand", "hourhand-train"}
    assert not any(word == "ENTRYPOINT" for word, _ in stages()[stage])


def test_it_is_healthy_by_its_bars() -> None:
    assert json.loads(last("daemon", "HEALTHCHECK").partition(" CMD ")[2]) == ["hourhand", "health"]
    assert "health" in COMMANDS


def test_its_environment_is_made_of_settings() -> None:
    told = dict(
        re.findall(r"(HOURHAND_\w+)=(\S+)", " ".join(rest for word, rest in stages()["daemon"] if word == "ENV"))
    )
    services = composition()["services"]
    settings = load_settings(ROOT / "config/bot.toml", told | services["daemon"]["environment"])
    assert settings.ledger.url == "sqlite:////data/ledger.sqlite"
    assert settings.policy.model == "/data/models/current"
    assert settings.refresh.folder == "/data/refresh"
    assert settings.health.port == 9464


def test_what_is_copied_is_there_and_not_kept_out() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for stage in stages().values():
        for word, rest in stage:
            if word != "COPY" or "--from" in rest:
                continue
            for source in [part for part in rest.split() if not part.startswith("--")][:-1]:
                assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source
                assert (ROOT / source).exists() or source == "requirements.lock", source


@pytest.mark.parametrize("name", ["daemon", "refresh"])
def test_each_service_is_locked_in(name: str) -> None:
    service = composition()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["volumes"] == ["data:/data"]
    assert all(entry.startswith("/tmp") for entry in service["tmpfs"])
    assert service["build"]["target"] in stages()


def test_nothing_listens_beyond_this_machine() -> None:
    services = composition()["services"]
    assert services["daemon"]["ports"] == ["127.0.0.1:9464:9464"]
    assert "ports" not in services["refresh"]
    assert list(composition()["volumes"]) == ["data"]
