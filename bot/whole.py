"""Files that are written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path


def write_synced(path: Path, content: bytes) -> None:
    """Write a file, and return when it is on the disk. Raises OSError where that fails."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, content: bytes) -> None:
    """Put the content in the place of the file, whole or not at all: into one beside it, synced, then renamed.

    Raises OSError where that fails: then the file of before stays. What a kill leaves is overwritten by the next.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        write_synced(beside, content)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
