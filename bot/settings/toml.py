"""Tables of TOML as settings, checked once; what is wrong with them in words, without Python's types."""

import re
import tomllib
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from bot.errors import UsageError

_TYPES: Final = {
    "float": "a number", "int": "a whole number", "str": "a text", "bool": "true or false",
    "object": "a table", "array": "a list",
}  # fmt: skip

T = TypeVar("T")


def read_toml(file: Path | None, default: Path, what: str = "settings") -> dict[str, Any]:
    """The tables of a TOML file; of `default` where `file` is None, none where that does not exist.

    Raises UsageError, which calls it `what`, where it cannot be read or is not TOML.
    """
    if file is None and not default.exists():
        return {}
    path = file or default
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the {what} {path} cannot be read: {error.strerror}") from error
    except UnicodeError as error:
        raise UsageError(f"the {what} {path} cannot be read: the file is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the {what} {path} are not TOML: {error}") from error


def validate_settings(tables: Mapping[str, Any], kind: type[T], what: str = "settings", *, strict: bool = True) -> T:
    """The tables as settings of that kind. Raises UsageError that names the key where one is unknown, of another type,
    out of range or not finite; `strict` refuses numbers written as text.
    """
    try:
        settings = msgspec.convert(tables, kind, strict=strict)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$.")  # "Expected `float` >= 0.0 - at `$.exchange.id`"
        key = f"{where.rstrip('`')}: " if where else ""
        raise UsageError(f"{what}: {key}{_in_words(problem, kind, where.rstrip('`'))}") from error
    for section, found in msgspec.to_builtins(settings).items():
        for table in found if isinstance(found, list | tuple) else [found]:
            for name, value in table.items() if isinstance(table, dict) else ():
                if isinstance(value, float) and not isfinite(value):
                    raise UsageError(f"{what}: {section}.{name}: {value} is not a finite number")
    return settings


def _in_words(problem: str, kind: type, where: str) -> str:
    """What msgspec says of a value, without Python's types."""
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", problem)
    if unknown:
        return f"there is no setting {unknown[1]!r}"
    missing = re.fullmatch(r"Object missing required field `(.*)`", problem)
    if missing:
        return f"{missing[1]} is required"
    choices = _choices(kind, where)
    if choices:
        return f"choose one of {', '.join(choices)}"
    words = re.sub(r"`([^`]*)`", lambda match: _TYPES.get(match[1].split(" ")[0], match[1]), problem)
    return words.replace("Expected ", "must be ", 1).replace(", got ", ", not ").replace("matching regex", "like")


def _choices(kind: Any, where: str) -> tuple[str, ...]:
    """The values that a setting can have, where there are only a few."""
    for name in re.sub(r"\[.*?\]", "", where).split("."):
        kind = getattr(kind, "__annotations__", {}) and get_type_hints(kind).get(name)
        inner = [item for item in get_args(kind) if item not in (..., type(None))]
        kind = inner[0] if inner and get_origin(kind) is not Literal else kind
    return get_args(kind) if get_origin(kind) is Literal else ()
