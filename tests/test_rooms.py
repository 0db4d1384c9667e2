"""The rooms of the house: imports go down the list, never up, never in a circle, and name the room."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOWN = (
    "training.cli",
    "training.commands",
    "training.lab",
    "training.article",
    "training.selection",
    "training.evaluation",
    "training.learner",
    "training.environment",
    "training.data",
    "bot.cli",
    "bot.commands",
    "bot.web",
    "bot.demo",
    "bot.simulator",
    "bot.service",
    "bot.observers",
    "bot.report",
    "bot.ledger",
    "bot.trading",
    "bot.model",
    "bot.market",
    "bot.console",
    "bot.settings",
    "bot.extras",
    "bot.log",
    "bot.clock",
    "bot.errors",
    "bot.output",
    "bot.whole",
    "bot.redact",
)
"""From the top to the ground; a room may import those below it."""
FREE = {"bot", "training", "bot.__main__", "training.__main__"}
# The fault injector runs the command line, and wraps functions of the daemon where they are looked up.
KILLER = {("bot.simulator.kill", "bot.service.poller"), ("bot.simulator.kill", "bot.cli")}
SOURCES = sorted(path for name in ("bot", "training") for path in (ROOT / name).rglob("*.py*") if path.suffix != ".pyc")


def module_of(path: Path) -> str:
    """The dotted name of a source file."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def room_of(module: str) -> str:
    """The room that a module is in."""
    return next((room for room in DOWN if module == room or module.startswith(f"{room}.")), module)


@cache
def imported(path: Path) -> frozenset[str]:
    """The dotted names of the project's modules that a file imports, those inside of functions too."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    inside = module_of(path) if path.stem == "__init__" else module_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.partition(".")[0] in {"bot", "training"})
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                yield f"{inside}.{module}".rstrip(".")
            elif module in {"bot", "training"}:
                yield from (f"{module}.{name.name}" for name in node.names if name.name != "__version__")
            elif module.partition(".")[0] in {"bot", "training"}:
                yield module


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_and_name_the_room(path: Path) -> None:
    module = module_of(path)
    if module in FREE or "migrations" in path.parts:
        return
    mine = room_of(module)
    assert mine in DOWN, f"{module} is in no room"
    for other in imported(path):
        if (module, other) in KILLER:
            continue
        theirs = room_of(other)
        assert theirs in DOWN, f"{module} imports {other}, which is in no room"
        assert DOWN.index(mine) <= DOWN.index(theirs), f"{module} imports {other}, which is above it"
        if theirs != mine:
            assert other == theirs, f"{module} imports {other}: name the room, {theirs}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_of_a_room_form_no_circle(path: Path) -> None:
    start = module_of(path)
    graph = {module_of(source): imported(source) for source in SOURCES if source.suffix == ".py"}
    reached: set[str] = set()
    waiting = [other for other in graph.get(start, ()) if room_of(other) == room_of(start)]
    while waiting:
        other = waiting.pop()
        if other not in reached:
            reached.add(other)
            waiting += [deeper for deeper in graph.get(other, ()) if room_of(deeper) == room_of(start)]
    assert start not in reached
