"""Logging: lines for people on a terminal, JSON elsewhere, always on standard error."""

import io
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TextIO, cast

import structlog

from bot.clock import utc
from bot.redact import printable, redact_values

_ALWAYS: Final = ("timestamp", "level", "event", "reason", "close", "value", "excess")  # of a bar, however narrow it is
_PREFIX: Final = 34  # characters of time and level


def set_up(now: Callable[[], float], *, people: bool | None = None) -> None:
    """Send structlog's lines to standard error, stamped with `now()`; for people where that is a terminal."""

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
            *([_printable, _readable_bar] if for_people else []),  # JSON escapes control characters itself
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Stderr())),
        cache_logger_on_first_use=False,
    )
    # APScheduler speaks of every job that it runs; only its troubles are of interest.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


class _Stderr(io.TextIOBase):
    """Standard error; a full disk behind it, or a reader that has gone, loses lines and nothing else."""

    def write(self, text: str) -> int:
        """Write it, or not."""
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()


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
