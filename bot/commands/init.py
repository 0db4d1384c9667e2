"""`hourhand init`."""

from argparse import ArgumentParser, Namespace
from importlib.resources import files
from pathlib import Path
from typing import Final

from bot.console import add_json, print_result
from bot.errors import UsageError
from bot.model import SHIPPED_POINTER, provide_shipped, shipped_ids
from bot.settings import PolicySettings

SETTINGS: Final = Path("hourhand.toml")
GITIGNORE: Final = Path(".gitignore")
_POINTER: Final = Path(PolicySettings().model)
_NEXT: Final = (
    ("hourhand doctor", "check settings, ledger, model, exchange and clock"),
    ("hourhand run", "the daemon; Ctrl-C stops it between two bars"),
    ("hourhand status", "the account now, in another terminal"),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `init`."""
    add_json(parser)
    parser.epilog = (
        "Writes hourhand.toml (every setting, with its default and its meaning), models/ (the shipped models, and the\n"
        "pointer to the current one) and .gitignore. If one of them exists, it exits with 2 and writes nothing; other\n"
        "files do not matter.\n\nexample: hourhand init"
    )


def call(parsed_args: Namespace) -> int:
    """Write a bot's files into the current folder."""
    taken = [path for path in _targets() if path.exists() or path.is_symlink()]
    if taken:
        raise UsageError(f"init: {taken[0]} already exists: nothing was written; choose an empty folder")
    provide_shipped(_POINTER)
    try:
        SETTINGS.write_bytes(files("bot").joinpath("hourhand.toml").read_bytes())
        GITIGNORE.write_text("/models/\n/var/\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"init: {error.filename} cannot be written: {error.strerror}") from error
    wrote = [str(SETTINGS), f"{_POINTER.parent}/", str(GITIGNORE)]
    if parsed_args.json:
        print_result({"wrote": wrote, "next": [command for command, _ in _NEXT]}, as_json=True)
        return 0
    print(f"wrote {', '.join(wrote)}\n\nnext:")
    for command, what in _NEXT:
        print(f"  {command:<16} {what}")
    return 0


def _targets() -> list[Path]:
    """Every file that is written."""
    models = [_POINTER.parent / model_id / file.name for model_id in shipped_ids() for file in _shipped(model_id)]
    return [SETTINGS, GITIGNORE, _POINTER, *models]


def _shipped(model_id: str) -> list[Path]:
    return list((SHIPPED_POINTER.parent / model_id).iterdir())
