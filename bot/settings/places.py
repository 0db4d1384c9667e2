"""Where relative paths of the settings count from."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from bot.errors import UsageError

_SQLITE: Final = "sqlite:///"
_SCHEME: Final = re.compile("[a-z][a-z_]+:")  # rule:hold, which is no path

_left_at_default: Final[set[str]] = set()
_settings_folder: Final = [Path()]


def is_left_at_default(path: Path) -> bool:
    """Whether settings that this process has read leave the path at its default, which counts from their folder."""
    return str(path) in _left_at_default


def in_settings_folder(path: str) -> Path:
    """A relative path, from the folder of the settings that this process has read; from the current one without any."""
    return _settings_folder[0] / path


def folder_of(file: Path) -> Path:
    """The folder that relative paths in a settings file count from: its own, or the parent where that is `config/`."""
    folder = Path(os.path.abspath(file)).parent  # noqa: PTH100 - resolves `..` and follows no link
    return folder.parent if folder.name == "config" else folder


def anchor_paths(tables: dict[str, Any], folder: Path, defaults: Mapping[tuple[str, str], str]) -> None:
    """Make relative paths in the tables of a settings file, and those that it leaves at their default, count from
    `folder`. In the current folder nothing is changed.

    `defaults` has the keys that hold paths, with their defaults. Raises UsageError where a ledger lies at the same path
    from the current folder, which such paths counted from before, and none at the new place.
    """
    _settings_folder[0] = folder
    if folder == Path.cwd():
        return
    for (section, key), default in defaults.items():
        table = tables.setdefault(section, {})
        if isinstance(table, dict) and key not in table:
            _left_at_default.add(str(folder / default))
        _anchor(table, key, default, folder)
    for entries in (tables.get("challengers"), tables.get("markets")):
        for entry in entries if isinstance(entries, list) else ():
            _anchor(entry, "model", "", folder)


def _anchor(table: Any, key: str, default: str, folder: Path) -> None:
    value = table.get(key, default) if isinstance(table, dict) else None
    if isinstance(value, str) and value:  # anything else is refused when it is checked
        table[key] = _anchored_url(value, folder) if key == "url" else _anchored_path(value, folder)


def _anchored_path(text: str, folder: Path) -> str:
    return text if _SCHEME.match(text) else str(folder / text)


def _anchored_url(url: str, folder: Path) -> str:
    file = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or not file or file.startswith(("/", ":memory:")):
        return url
    old, new = Path(unquote(file)).absolute(), folder / unquote(file)
    if old.exists() and not new.exists():
        raise UsageError(
            f"ledger.url is relative to the settings' folder, where there is no {new}, but there is a ledger at {old}: "
            "move it there, or set ledger.url to an absolute path"
        )
    return f"{_SQLITE}{str(folder).replace('%', '%25').replace('?', '%3F')}/{file}"
