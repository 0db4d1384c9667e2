"""The commands in the documents exist, have the options that they are shown with, and do what they are shown to do."""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import msgspec
import pytest

import bot.cli
import training.cli
from bot.clock import read_clock
from bot.settings import Settings
from bot.simulator import LoopbackExchange, generate_candles
from tests.documents import DOCUMENTS, ROOT, blocks, calls, mentions
from tests.harness import HOUR, environment
from training.learner import TrainingSettings

PROGRAMS = {"hourhand": (bot.cli, "bot.commands"), "hourhand-train": (training.cli, "training.commands")}
YEAR_2018 = 1_514_764_800
RUN = [document for document in DOCUMENTS if blocks(document, "sh")]
BEFORE = {
    "docs/ledger.md": "hourhand init; hourhand run --once",
    "docs/training.md": "hourhand-train download --since 2018-01-01 --out btcusd_1h.parquet; hourhand init; "
    "hourhand-train import btcusd_1h.parquet --out bitfinex_btcusd_1h.csv",
    "docs/how-to/restore.md": "hourhand init; hourhand run --once",
    "docs/how-to/terminal.md": "hourhand init",
    "README.md": "mkdir here; cd here",
}
"""What a page takes for granted."""
SHIM = """\
#!{python}
# A program as it is installed, with what takes minutes cut short: a daemon ends after its first bar, the article after
# two episodes. The demo has a test of its own.
import signal, subprocess, sys
words = sys.argv[1:]
if words[:1] == ["demo"]:
    sys.exit(0)
if words[:1] == ["article"] and "--episodes" not in words:
    words += ["--episodes", "2"]
if words[:1] == ["evaluate"]:
    words += ["--runs", "2"]
command = [sys.executable, "-m", "{package}", *words]
if words[:1] == ["run"] and "--once" not in words:
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as daemon:
        for line in daemon.stderr:
            sys.stderr.write(line)
            if '"event": "bar"' in line:
                daemon.send_signal(signal.SIGTERM)
    sys.exit(daemon.returncode)
sys.exit(subprocess.call(command))
"""


def parser_of(program: str, command: str) -> argparse.ArgumentParser:
    """The parser of a subcommand."""
    module, package = PROGRAMS[program]
    assert command in module.COMMANDS, f"{program} has no command {command}"
    parser = argparse.ArgumentParser(f"{program} {command}", allow_abbrev=False)
    bot.cli.command_loader(package)(command)(parser)
    return parser


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_call_has_the_options_that_it_is_shown_with(document: Path) -> None:
    for program, command, *words in calls(document):
        if command.startswith("-"):
            continue
        parser = parser_of(program, command)
        parser.exit_on_error = False
        try:
            parser.parse_args(words)
        except (SystemExit, argparse.ArgumentError) as error:
            pytest.fail(f"{program} {command} {' '.join(words)}: {error}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_command_and_option_in_the_text_exists(document: Path) -> None:
    for program, command, *words in mentions(document):
        known = parser_of(program, command).format_help() if not command.startswith("-") else "--version --help"
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{program} {command} {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_settings_in_the_documents_are_settings(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for block in text.split("```toml\n")[1:]:
        tables = tomllib.loads(block.split("```")[0])
        if tables.keys() <= set(TrainingSettings.__struct_fields__) - {"account"}:  # those of training, or a space
            known = msgspec.to_builtins(TrainingSettings())
            assert all(table.keys() <= known[section].keys() for section, table in tables.items())
        elif "build-system" not in tables:
            msgspec.convert(tables, Settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder, and programs of their own beside it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, package in (("hourhand", "bot"), ("hourhand-train", "training")):
        (programs / name).write_text(SHIM.format(python=sys.executable, package=package))
        (programs / name).chmod(0o755)
    config = tmp_path / "work" / "config"
    config.mkdir(parents=True)
    (config / "training.toml").write_text("[windows]\ncount = 8\n[ppo]\nsteps = 8000\n")
    return tmp_path / "work"


@pytest.mark.parametrize("document", RUN, ids=lambda document: str(document.relative_to(ROOT)))
def test_only_what_may_run_anywhere_is_run(document: Path) -> None:
    for line in (line for block in blocks(document, "sh") for line in block):
        program = next(word for word in line.split() if "=" not in word)
        assert program in {"hourhand", "hourhand-train", "mkdir", "ls", "sqlite3"}, f"make it a block of bash: {line}"


@pytest.mark.slow
@pytest.mark.parametrize("document", RUN, ids=lambda document: str(document.relative_to(ROOT)))
def test_what_is_shown_runs(document: Path, folder: Path) -> None:
    name = str(document.relative_to(ROOT))
    lines = [line for block in blocks(document, "sh") for line in block]
    if any(line.startswith("sqlite3") for line in lines) and shutil.which("sqlite3") is None:
        lines = [line for line in lines if not line.startswith("sqlite3")]
    hours = 24 * (365 * 3 + 30)
    candles = generate_candles(hours + 2000, seed=3, start=YEAR_2018)
    clock = f"@{YEAR_2018 + hours * HOUR + 60}x20@{time.time():.3f}"
    with LoopbackExchange(candles, read_clock(clock)) as exchange:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join([BEFORE.get(name, ""), *lines])],
            cwd=folder,
            env=environment(
                PATH=f"{folder.parent / 'bin'}:{os.environ['PATH']}",
                PYTHONPATH=str(ROOT),
                HOURHAND_CLOCK=clock,
                HOURHAND_EXCHANGE__BASE_URL=exchange.url,
                HOURHAND_REFRESH__WINDOW_DAYS="100",
                MPLCONFIGDIR=str(folder.parent),
            ),
            capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def test_the_reference_has_every_key_command_and_column() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    pages = importlib.import_module("reference_pages").pages()
    sys.path.remove(str(ROOT / "docs"))
    rows = [line for line in pages["settings"].splitlines() if line.startswith("| `")]
    for section, table in msgspec.to_builtins(Settings()).items():
        for key in table if isinstance(table, dict) else ():
            assert any(row.startswith(f"| `{key}` |") for row in rows), f"{section}.{key}"
    assert [row for row in rows if row.endswith("|  |")] == [], "a key without a meaning in config/bot.toml"
    for program, (module, _) in PROGRAMS.items():
        assert all(f"\n## `{name}`" in pages[program] for name in module.COMMANDS)
    assert "| `chain` | TEXT |" in pages["tables"]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_asks_nobody(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        head = page.read_text(encoding="utf-8").split("</head>")[0]
        assert 'src="http' not in head, page
        assert 'rel="stylesheet" href="http' not in head, page
