"""What an exchange can get wrong, by name: broken connections, useless answers, and candles that are not so."""

import gzip
import json
import math
import random
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import cache
from typing import Any, Final, Literal, NamedTuple

from bot.errors import UsageError
from bot.simulator.market import Row, Shown

Ending = Literal["whole", "hang", "trickle", "trickle_headers", "reset", "drop", "incomplete"]

_HUGE: Final = 40 * 2**20
_CLOCK_OFF: Final = 7200.0
_MINUTE: Final = 60_000


class Fault(NamedTuple):
    """A fault by its name in FAULTS, on the candle requests alone or on all."""

    name: str
    on: Literal["candles", "all"] = "candles"


class Reply(NamedTuple):
    """An HTTP answer, and how its sending ends."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    ending: Ending = "whole"


OUTAGE: Final = Fault("refused", "all")
"""No exchange at all: connections are refused."""


def read_fault(text: str) -> Fault:
    """A fault as it is written on the command line: NAME or NAME@all. Raises UsageError for any other."""
    name, _, on = text.partition("@")
    if name not in FAULTS:
        raise UsageError(f"there is no fault {name!r}; the faults are {', '.join(sorted(FAULTS))}")
    if on not in {"", "candles", "all"}:
        raise UsageError(f"a fault must be on candles or on all, not on {on!r}: write {name}@all")
    return Fault(name, "all" if on == "all" else "candles")


def date_error(fault: Fault | None) -> float:
    """Seconds to add to the time in the header Date; NaN where the header is to be left out."""
    return _DATES.get(fault.name, 0.0) if fault else 0.0


def spoil_rows(name: str, shown: Shown, served: int) -> list[Row]:
    """The rows of a candle request under a fault. `served` is the open time in milliseconds of the newest closed
    candle that was shown before.
    """
    rows = [list(row) for row in shown.rows]
    if name == "revision":
        return [_revised(row) if row[0] == served else row for row in rows]
    return _ROWS[name](rows, shown) if name in _ROWS else rows


def spoil_data(name: str, data: Any) -> Any:
    """Any other JSON under a fault: each number in it, and for `wrong_types` each text too."""
    if isinstance(data, list):
        return [spoil_data(name, item) for item in data]
    if isinstance(data, str):
        return 7 if name == "wrong_types" else data
    return _NUMBERS[name](data) if name in _NUMBERS and isinstance(data, int | float) else data


def spoil_reply(name: str, reply: Reply, path: str, now: float) -> Reply:
    """The answer to a request for `path` at `now` under a fault."""
    match name:
        case "redirect_loop":
            return Reply(302, b"", headers=(("Location", path),))
        case "429_retry_date":
            return _error(*_RATE, ("Retry-After", formatdate(now + 90, usegmt=True)))
        case "truncated":
            return reply._replace(body=reply.body[: len(reply.body) // 2])
        case "huge":
            return reply._replace(body=b" " * _HUGE + reply.body)
        case "bomb":
            return reply._replace(body=_bomb(), headers=(("Content-Encoding", "gzip"),))
    return _REPLIES.get(name, reply)._replace(ending=_ENDINGS.get(name, "whole"))


@cache
def _bomb() -> bytes:
    return gzip.compress(b"[" + b" " * _HUGE + b"]", compresslevel=1)


def _error(status: int, code: int, text: str, *headers: tuple[str, str]) -> Reply:
    return Reply(status, json.dumps(["error", code, text]).encode(), headers=headers)


_PAGE: Final = (
    b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"
)
_RATE: Final = (429, 11010, "ratelimit: error")
_REPLIES: Final[Mapping[str, Reply]] = {
    "html": Reply(200, _PAGE, "text/html; charset=utf-8"),
    "empty": Reply(200, b""),
    "null": Reply(200, b"null"),
    "nothing": Reply(200, b"[]"),
    "object": Reply(200, b"{}"),
    "error_list": _error(200, 10020, "time_interval: invalid"),
    "401": _error(401, 10100, "apikey: invalid"),
    "403": Reply(403, _PAGE, "text/html; charset=utf-8"),
    "451": Reply(451, b'{"message": "not available in your region"}'),
    "429": _error(*_RATE),
    "429_object": Reply(429, b'{"error": "ERR_RATE_LIMIT"}'),
    "429_text": Reply(429, b"Too Many Requests", "text/plain"),
    "429_retry_after": _error(*_RATE, ("Retry-After", "30")),
    "429_object_retry_after": Reply(429, b'{"error": "ERR_RATE_LIMIT"}', headers=(("Retry-After", "30"),)),
    "500": _error(500, 10000, "unknown"),
    "500_object": Reply(500, b'{"message": "Internal Server Error"}'),
    "503": Reply(503, b"Service Unavailable", "text/plain", (("Retry-After", "60"),)),
    "maintenance": _error(500, 20060, "maintenance"),
}
_ENDINGS: Final[Mapping[str, Ending]] = {
    "timeout": "hang",
    "trickle": "trickle",
    "trickle_headers": "trickle_headers",
    "reset": "reset",
    "refused": "drop",
    "incomplete": "incomplete",
}
_DATES: Final[Mapping[str, float]] = {"clock_ahead": _CLOCK_OFF, "clock_behind": -_CLOCK_OFF, "no_date": math.nan}
_NUMBERS: Final[Mapping[str, Callable[[float], Any]]] = {
    "nan": lambda _: math.nan,
    "wrong_types": lambda number: {"number": number},
    "negative_price": lambda number: -abs(number),
    "zero_price": lambda number: 0 * number,
}


def _on_newest(change: Callable[[Row], list[Row]]) -> Callable[[list[Row], Shown], list[Row]]:
    """A change to the newest closed row: what stands in its place."""

    def changed(rows: list[Row], shown: Shown) -> list[Row]:
        closed = sum(row[0] < shown.opened for row in rows)
        return rows[: closed - 1] + change(rows[closed - 1]) + rows[closed:] if closed else rows

    return changed


def _with(**changes: Callable[[Row], Any]) -> Callable[[list[Row], Shown], list[Row]]:
    """A change to single fields of the newest closed row."""

    def change(row: Row) -> list[Row]:
        fields = dict(zip(("time", "open", "close", "high", "low", "volume"), row, strict=True))
        return [list((fields | {name: make(row) for name, make in changes.items()}).values())]

    return _on_newest(change)


def _revised(row: Row) -> Row:
    return [row[0], *(price * 1.001 for price in row[1:5]), row[5] * 2]


def _shuffled(rows: list[Row], _: Shown) -> list[Row]:
    return random.Random(len(rows)).sample(rows, len(rows))


def _complete(rows: list[Row], shown: Shown) -> list[Row]:
    return [shown.final if shown.final and row[0] == shown.opened else row for row in rows]


_ROWS: Final[Mapping[str, Callable[[list[Row], Shown], list[Row]]]] = {
    "nan": _with(close=lambda _: math.nan),
    "wrong_types": _on_newest(lambda row: [[None, "twelve", {}, [], True, row[5]]]),
    "negative_price": _with(low=lambda row: -row[4]),
    "zero_price": _with(low=lambda _: 0.0),
    "high_below_low": _with(high=lambda row: row[4] * 0.99),
    "duplicate": _on_newest(lambda row: [row, list(row)]),
    "conflicting_duplicate": _on_newest(lambda row: [row, [*row[:5], row[5] + 1]]),
    "shuffled": _shuffled,
    "misaligned": _with(time=lambda row: row[0] + _MINUTE),
    "future": lambda rows, shown: [*rows, [shown.opened + 10 * shown.bar, *(rows[-1][1:] if rows else [1.0] * 5)]],
    "forming": _complete,
    "stale": lambda rows, shown: [row for row in rows if row[0] < shown.opened - 3 * shown.bar],
    "gap": lambda rows, shown: [row for row in rows if row[0] // shown.bar % 7],
    "print_10x": _with(close=lambda row: 10 * row[2], high=lambda row: 10 * max(row[1:5])),
}
FAULTS: Final = frozenset(
    {
        "revision",
        "redirect_loop",
        "429_retry_date",
        "truncated",
        "huge",
        "bomb",
        *_REPLIES,
        *_ENDINGS,
        *_DATES,
        *_NUMBERS,
        *_ROWS,
    }
)
"""The names of all faults."""
