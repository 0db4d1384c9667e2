"""The commands that the documents show.

A block of `sh` is run by a test, line by line, in an empty folder with an exchange on this machine. A block of `bash`
or `console` is for another place (root, an engine, a secret): its lines are only held against the commands' options.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(hourhand(?:-train)? [a-z][^`]*)`")
_ENDS = frozenset({"&&", "||", "|", ">", ">>", "<"})
_PLACEHOLDER = {"ID": "0123456789abcdef", "LINK": "0" * 64, "FILE": "x.csv", "DIR": "x", "DATE": "2021-01-01", "N": "1"}


def blocks(document: Path, *kinds: str) -> list[list[str]]:
    """The command lines of each block of these kinds, continued lines joined."""
    found = []
    for kind, body in _BLOCK.findall(document.read_text(encoding="utf-8")):
        if kind in kinds:
            lines = body.replace("\\\n", " ").splitlines()
            if kind == "console":
                lines = [line[2:] for line in lines if line.startswith("$ ")]
            found.append(list(_whole(lines)))
    return found


def calls(document: Path) -> list[list[str]]:
    """The words of every call of `hourhand` and `hourhand-train` in the document's blocks."""
    return [words for block in blocks(document, "sh", "bash", "console") for line in block for words in _calls_in(line)]


def mentions(document: Path) -> list[list[str]]:
    """The words of every call in running text, which may leave required arguments out."""
    return [words for text in _INLINE.findall(document.read_text(encoding="utf-8")) for words in _calls_in(text)]


def _whole(lines: list[str]) -> Iterator[str]:
    """Lines with an open quote joined with what follows; comments and empty lines left out."""
    waiting = ""
    for line in lines:
        waiting += ("\n" if waiting else "") + line
        try:
            words = shlex.split(waiting, comments=True)
        except ValueError:
            continue
        if words:
            yield waiting.strip()
        waiting = ""


def _calls_in(line: str) -> Iterator[list[str]]:
    words = [_PLACEHOLDER.get(word, word) for word in shlex.split(line, comments=True)]
    for place, word in enumerate(words):
        named = place > 0 and words[place - 1].startswith("-")  # --tag hourhand, -u hourhand
        if word in ("hourhand", "hourhand-train") and words[place + 1 :] and not named:
            end = next((i for i, later in enumerate(words) if i > place and later in _ENDS), None)
            yield [word, *(part for part in words[place + 1 : end] if part not in {"...", "…"})]
