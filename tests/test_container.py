"""The image and its composition, as far as they can be read without an engine."""

import fnmatch
import json
import os
import re
import socket
import subprocess
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

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
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return parsed


def test_the_daemons_image_has_no_torch_and_is_the_default() -> None:
    assert list(stages())[-1] == "daemon"
    assert last("daemon", "COPY") == "--from=build /opt/hourhand /opt/hourhand"
    assert "training" not in " ".join(rest for word, rest in stages()["build"] if word == "RUN")
    assert last("training", "COPY") == "--from=build-training /opt/hourhand /opt/hourhand"


@pytest.mark.parametrize("stage", ["build", "build-training"])
def test_dependencies_are_layers_of_their_own_before_the_source(stage: str) -> None:
    steps = stages()[stage]
    source = steps.index(("COPY", "pyproject.toml README.md LICENSE ./"))
    installed = [rest for word, rest in steps[source:] if word == "RUN"]
    assert installed == ["pip install --no-deps --no-build-isolation ."]
    assert not any("bot" in rest.split() or "config" in rest.split() for word, rest in steps[:source] if word == "COPY")


@pytest.mark.parametrize("stage", ["daemon", "training"])
def test_the_process_is_not_root_and_hears_its_signals(stage: str) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last(stage, "USER"))
    command = json.loads(last(stage, "CMD"))  # the exec form: no shell between the signal and the process
    assert command[0] in {"hourhand", "hourhand-train"}
    assert not any(word == "ENTRYPOINT" for word, _ in stages()[stage])


@pytest.mark.parametrize(("status", "code"), [("200 OK", 0), ("503 Service Unavailable", 1), (None, 1)])
def test_it_is_healthy_by_its_bars(status: str | None, code: int) -> None:
    """The health check is a shell that asks the daemon's own server: no Python is started for it."""
    command = json.loads(last("daemon", "HEALTHCHECK").partition(" CMD ")[2])
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                with connection.makefile("rb") as lines:
                    asked.extend(iter(lines.readline, b"\r\n"))
                connection.sendall(f"HTTP/1.0 {status}\r\n\r\nsaid\n".encode())

        if status is None:
            server.close()
        else:
            Thread(target=answer).start()
        environment = {"PATH": os.environ["PATH"], "HOURHAND_HEALTH__PORT": str(port)}
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=30)
    assert done.returncode == code
    assert asked == ([b"GET /healthz HTTP/1.0\r\n"] if status else [])


def test_its_environment_is_made_of_settings() -> None:
    environment = dict(
        re.findall(r"(HOURHAND_\w+)=(\S+)", " ".join(rest for word, rest in stages()["daemon"] if word == "ENV"))
    )
    assert environment.pop("HOURHAND_CONFIG") == "/app/config/bot.toml"
    assert environment["HOURHAND_HEALTH__PORT"] == "9464"
    services = composition()["services"]
    settings = load_settings(ROOT / "config/bot.toml", environment | services["daemon"]["environment"])
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
                assert any(fnmatch.fnmatch(source.partition("/")[0], pattern) for pattern in allowed), source
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


@pytest.mark.parametrize("code", [0, 6])
def test_a_round_of_retraining_that_fails_is_seen(code: int, tmp_path: Path) -> None:
    service = composition()["services"]["refresh"]
    programs = {
        "hourhand-train": f"exit {code}",
        "apprise": f'echo "$APPRISE_URLS $*" > {tmp_path}/message',
        "sleep": f"echo $1 > {tmp_path}/pause; exit 1",
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOURHAND_NOTIFY__URLS": "json://localhost"}

    def shell(script: str) -> int:
        script = script.replace("$$", "$").replace("/tmp/", f"{tmp_path}/")
        return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, check=False).returncode

    assert shell(service["healthcheck"]["test"][1]) == 0
    shell(service["command"][2])
    assert (shell(service["healthcheck"]["test"][1]) == 0) == (code == 0)
    week, six_hours = 604800, 21600
    assert int((tmp_path / "pause").read_text()) == (six_hours if code else week)
    assert (tmp_path / "message").exists() == (code != 0)
    if code:
        assert (tmp_path / "message").read_text().startswith("json://localhost --title hourhand")


def test_the_images_hold_what_the_locks_say() -> None:
    for stage, lock in (("dependencies", "daemon"), ("dependencies-training", "training")):
        run = last(stage, "RUN")
        assert f"--require-hashes --no-deps --requirement requirements-{lock}.lock" in run


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-daemon.lock", "requirements-training.lock"])
def test_every_requirement_of_a_lock_has_a_hash(lock: str) -> None:
    lines = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    pinned = {match[0]: line for line in lines if (match := re.match(r"[\w.-]+==\S+", line))}
    assert len(pinned) == len([line for line in lines if line.strip()])
    assert all("--hash=sha256:" in line for line in pinned.values())
    assert not any(name.startswith("torch==") for name in pinned)
    assert "//" not in "".join(lines)
    whole = (ROOT / "requirements.lock").read_text()
    assert all(f"{line.split(' ')[0]} " in whole for line in pinned.values()), "the locks agree"
