"""How much is logged, and where to."""

import json
import logging
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from bot import log
from bot.errors import UsageError


@pytest.fixture(autouse=True)
def _structlog() -> Iterator[None]:
    yield
    for reference in list(logging._handlerList):  # type: ignore[attr-defined]
        handler = reference()
        if isinstance(handler, log._LogFile):
            with suppress(OSError):
                handler.close()
    structlog.reset_defaults()


def set_up(*words: str, people: bool | None = None) -> None:
    """What `hourhand run WORDS` logs as."""
    parser = ArgumentParser()
    log.add_log_options(parser)
    parsed_args = parser.parse_args(words)
    log.set_up(lambda: 0.0, level=parsed_args.log_level, file=parsed_args.log_file, people=people)


def lines(text: str) -> list[str]:
    return [json.loads(line)["event"] for line in text.splitlines()]


def say() -> None:
    logger = structlog.get_logger()
    logger.debug("poll")
    logger.info("started", url="postgresql://u:secret@host/db")
    logger.warning("trouble")


@pytest.mark.parametrize(
    ("option", "events"), [("", ["started", "trouble"]), ("-q", ["trouble"]), ("-v", ["poll", "started", "trouble"])]
)
def test_it_is_as_loud_as_asked_for(option: str, events: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    set_up(*option.split())
    say()
    out, err = capsys.readouterr()
    assert (out, lines(err)) == ("", events)


def test_a_file_gets_every_line_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "logs" / "bot.log"
    set_up("--log-file", str(file), people=True)
    say()
    assert "started" in capsys.readouterr().err
    assert lines(file.read_text()) == ["started", "trouble"]
    assert json.loads(file.read_text().splitlines()[0])["timestamp"] == "1970-01-01T00:00:00Z"
    assert "secret" not in file.read_text()


def test_a_full_file_is_renamed_and_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "FILE_BYTES", 200)
    file = tmp_path / "bot.log"
    set_up("-q", "--log-file", str(file))
    for number in range(40):
        structlog.get_logger().warning("trouble", number=number)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"bot.log", *(f"bot.log.{number}" for number in range(1, log.OLD_FILES + 1))}
    assert all(path.stat().st_size <= 200 for path in tmp_path.iterdir())
    assert json.loads(file.read_text().splitlines()[-1])["number"] == 39


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--log-file .* cannot be written"):
        set_up("--log-file", str(tmp_path))


def test_a_full_disk_loses_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("--log-file", "/dev/full")
    say()
    assert lines(capsys.readouterr().err) == ["started", "trouble"]
    assert logging.raiseExceptions
