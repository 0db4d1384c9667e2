"""`hourhand demo`."""

import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.console import add_config, add_json, print_result
from bot.demo import Plot, Voice, ended_by_signals, perform
from bot.errors import UsageError
from bot.settings import load_settings


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `demo`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the ledger, and settings to look at it, in this folder"
    )
    parser.epilog = (
        "No network, no money, nothing left behind: an exchange on this machine with generated prices, and the daemon\n"
        "as a process of its own. Ends with 0 only if everything that it shows was true. Of the settings, it takes\n"
        "policy.model and policy.mode.\n\nexample: hourhand demo --keep demo"
    )


def call(options: Namespace) -> int:
    """Perform the demo; 0 where everything was as it should be, else 1."""
    settings = load_settings(options.config)
    voice = Voice(sys.stderr if options.json else sys.stdout)
    first = time.monotonic()
    with _folder(options.keep) as folder, ended_by_signals():
        told = perform(folder, settings, voice, Plot())
    told |= {"seconds": round(time.monotonic() - first, 1), "ledger": str(folder) if options.keep else None}
    voice.farewell(told, options.keep)
    if options.json:
        print_result(told, as_json=True)
    return 0 if told["ok"] else 1


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="hourhand-demo-") as folder:
            yield Path(folder)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        taken = any(keep.iterdir())
    except OSError as error:
        raise UsageError(f"--keep {keep}: the folder cannot be made: {error.strerror}") from error
    if taken:
        raise UsageError(f"--keep {keep}: there is something in that folder; name a new one")
    yield keep
