"""`hourhand demo`."""

import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from bot.commands.serve import require_web
from bot.console import add_config, add_json, print_result
from bot.demo import Narrator, Scenario, ended_by_signals, run_demo
from bot.errors import UsageError
from bot.settings import PolicySettings, load_settings

_BUSY: Final = "rule:random?turnover=1.0"

_MOST_MARKETS: Final = 20


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `demo`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the ledger, and settings to inspect it, in this folder"
    )
    parser.add_argument("--page", action="store_true", help="open the live page to watch it trade (extra web)")
    parser.add_argument("--markets", type=int, default=1, metavar="N", help="trade this many markets in one daemon (1)")
    parser.epilog = (
        "Runs the daemon as a separate process against an exchange on this machine with generated prices: no network,\n"
        "no money, nothing left behind. Exits with 0 only if all its checks pass. Of the settings it uses policy.mode\n"
        "and, unless it is the shipped model, policy.model. The shipped model trades so rarely that the demo replaces\n"
        "it with a rule that trades at random.\n\nexample: hourhand demo --page\n         hourhand demo --keep demo"
    )


def call(parsed_args: Namespace) -> int:
    """Perform the demo; 0 where everything was as it should be, else 1."""
    settings = load_settings(parsed_args.config)
    if settings.policy.model == PolicySettings().model:
        settings = replace(settings, policy=replace(settings.policy, model=_BUSY))
    if not 1 <= parsed_args.markets <= _MOST_MARKETS:
        raise UsageError(f"demo: --markets must be 1 to {_MOST_MARKETS}")
    if parsed_args.page:
        require_web()
    narrator = Narrator(sys.stderr if parsed_args.json else sys.stdout)
    started = time.monotonic()
    with _folder(parsed_args.keep) as folder, ended_by_signals():
        scenario = Scenario(markets=parsed_args.markets)
        result = run_demo(folder, settings, narrator, scenario, with_page=parsed_args.page)
    result |= {"seconds": round(time.monotonic() - started, 1), "ledger": str(folder) if parsed_args.keep else None}
    narrator.conclude(result, parsed_args.keep)
    if parsed_args.json:
        print_result(result, as_json=True)
    return 0 if result["ok"] else 1


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
        raise UsageError(f"--keep {keep}: the folder is not empty; name a new one")
    yield keep
