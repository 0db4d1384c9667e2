"""What the documents name is there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.documents import DOCUMENTS, ROOT
from tests.test_rooms import DOWN

NAMED = re.compile(r"(?<![\w./-])(?:bot|training|tests|systemd|config|docs|\.ci)/[\w./-]*\w")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
MADE = {Path("reference", f"{name}.md") for name in ("settings", "hourhand", "hourhand-train", "tables")}
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """The places in a document that a link can name, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_path_that_is_named_exists(document: Path) -> None:
    named = set(NAMED.findall(document.read_text(encoding="utf-8")))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for path, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        target = document.parent / path if path else document
        assert target.exists() or Path(os.path.relpath(target, ROOT / "docs")) in MADE, path
        assert not anchor or not target.exists() or target.suffix != ".md" or anchor in anchors(target), (
            f"{path}#{anchor}"
        )


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    for room in DOWN:
        path = ROOT / room.replace(".", "/")
        if path.exists() or path.with_suffix(".py").exists():
            assert f"`{path.relative_to(ROOT)}" in text, room


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document in DOCUMENTS:
        for target in re.findall(r"(?:`|^(?:\$ )?)make ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE):
            assert target in targets, f"{document.name}: make {target}"


@pytest.mark.parametrize("target", ["article", "walk"])
def test_make_asks_for_the_candles_that_it_needs(target: str) -> None:
    def dry(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["make", "-n", target, *words], cwd=ROOT, capture_output=True, text=True, check=False)

    assert dry("CANDLES=some.csv").returncode == 0
    without = dry()
    assert without.returncode == 2
    assert f"make {target} needs a file of candles: make {target} CANDLES=" in without.stderr
