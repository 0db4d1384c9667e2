"""`hourhand replay`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bot.candle_files import read_candles
from bot.checkpoint import load
from bot.commands.common import add_config, add_json, read_settings, show
from bot.commands.tables import progress
from bot.errors import UsageError
from bot.ledger.accounts import summary
from bot.ledger.store import open_writer
from bot.registry import resolve
from bot.replay import replay
from bot.trader import Trader


def add_arguments(parser: ArgumentParser) -> None:
    """Options of `replay`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--candles", type=Path, required=True, metavar="FILE", help="CSV, CSV.GZ, Parquet or JSON")
    parser.add_argument("--model", type=Path, metavar="DIR", help="default: policy.model")
    parser.add_argument("--ledger", metavar="URL", required=True, help="where to write: sqlite:///replay.sqlite")
    parser.add_argument("--warmup", type=int, default=0, metavar="N", help="the first N only warm the policy up")
    parser.epilog = (
        "Decides every candle as the daemon would have: with the same candles, warm-up, model and seed the rows are\n"
        "those of `hourhand run`, bit for bit. A ledger that has some of them goes on after its last.\n\n"
        "example: hourhand replay --candles candles.csv --warmup 500 --ledger sqlite:///replay.sqlite"
    )


def call(options: Namespace) -> int:
    """Replay, and print how it went."""
    settings, _ = read_settings(options)
    if options.warmup < 0:
        raise UsageError("--warmup is a number of candles, 0 or more")
    model = load(resolve(options.model or Path(settings.policy.model)))
    candles = read_candles(options.candles, settings.bar)
    ledger = open_writer(options.ledger)
    try:
        with progress("replay", len(candles)) as tell:
            told = replay(ledger, Trader(settings.terms, model, settings.policy.mode), candles, options.warmup, tell)
        with ledger.reading() as connection:
            now = summary(connection, settings.account.name)
    finally:
        ledger.close()
    told |= {name: now[name] for name in ("value", "hold_value", "excess", "model_id")}
    show(told | {"last_bar_time": now["bar_time"]}, as_json=options.json)
    return 0
