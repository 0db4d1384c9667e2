"""Logging: lines for people on a terminal, JSON elsewhere, always on standard error, and in a file where wanted."""

import json
import logging
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, TextIO, cast

import structlog

from bot.clock import utc
from bot.errors import UsageError
from bot.output import TolerantStream
from bot.redact import printable, redact_values

FILE_BYTES: Final = 10 * 2**20
OLD_FILES: Final = 5
_ALWAYS: Final = ("timestamp", "level", "event", "reason", "close", "value", "excess")  # of a bar, however narrow it is
_PREFIX: Final = 34  # characters of time and level


def add_log_options(parser: ArgumentParser) -> None:
    """`-q`, `-v` and `--log-file FILE`."""
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument(
        "-q", "--quiet", dest="log_level", action="store_const", const=logging.WARNING, default=logging.INFO,
        help="log only warnings and errors",
    )  # fmt: skip
    loudness.add_argument(
        "-v", "--verbose", dest="log_level", action="store_const", const=logging.DEBUG, help="log every poll as well"
    )
    parser.add_argument(
        "--log-file",
        type=Path,
        metavar="FILE",
        help=f"log to this file as well, as JSON; rotated at {FILE_BYTES // 2**20} MB, keeping {OLD_FILES} old files",
    )


def set_up(
    now: Callable[[], float], *, level: int = logging.INFO, file: Path | None = None, people: bool | None = None
) -> None:
    """Send structlog's lines of `level` and above to standard error, stamped with `now()`, for people where that is a
    terminal; and to `file`. Raises UsageError where that cannot be written.
    """

    def stamp(_logger: Any, _method: str, line: Any) -> Any:
        return {"timestamp": utc(now()), **line}

    for_people = sys.stderr.isatty() if people is None else people
    render: Any = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=18,
            exception_formatter=structlog.dev.plain_traceback,
            sort_keys=False,
        )
        if for_people
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.format_exc_info,
            _redacted,
            _readable_time,
            *([_to_file(file)] if file else []),
            *([_printable, _readable_bar] if for_people else []),  # JSON escapes control characters itself
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", TolerantStream(sys.stderr, sticky=False))),
        cache_logger_on_first_use=False,
    )
    # APScheduler speaks of every job that it runs; only its troubles are of interest.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


class _LogFile(RotatingFileHandler):
    """A file that is renamed when it is full; a full disk loses lines and nothing else."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """Lose the line."""


def _to_file(path: Path) -> Callable[[Any, str, Any], Any]:
    """A processor that writes each line to the file and hands it on."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--log-file {path} cannot be written: {error.strerror}") from error

    def write(_logger: Any, _method: str, line: Any) -> Any:
        handler.handle(logging.makeLogRecord({"msg": json.dumps(line, default=repr)}))
        return line

    return write


def _redacted(_logger: Any, _method: str, line: Any) -> Any:
    return redact_values(line)


def _printable(_logger: Any, _method: str, line: Any) -> Any:
    return {name: printable(v) if isinstance(v, str) and name != "exception" else v for name, v in line.items()}


def _readable_time(_logger: Any, _method: str, line: Any) -> Any:
    bar_time = line.get("bar_time")
    return line | {"bar_time": utc(bar_time)} if isinstance(bar_time, int) else line


def _readable_bar(_logger: Any, _method: str, line: Any) -> Any:
    """A bar for people: when and what, the fill right after it, then what fits on one line."""
    if line.get("event") != "bar":
        return line
    time, action, filled = (line.pop(name, "") for name in ("time", "action", "filled"))
    line["event"] = f"{time[:16].replace('T', ' ')} {action.upper() if filled else action} {filled}".strip()
    room = _width() - _PREFIX - max(len(line["event"]), 18)
    shown = {}
    for name, value in line.items():
        room -= len(f" {name}={value}") if name not in _ALWAYS[:3] else 0
        if name in _ALWAYS or room >= 0:
            shown[name] = value
    return shown


def _width() -> int:
    try:
        return os.get_terminal_size(2).columns
    except OSError:
        return 120
