"""`hourhand replay`."""

import math
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from bot.commands.account_option import add_market, market_settings
from bot.console import add_config, add_json, print_result, progress, read_settings
from bot.errors import UsageError
from bot.ledger import account_summary, mark_practice, open_writer
from bot.market import read_candles
from bot.model import in_sample_warning, named_model
from bot.service import replay_candles, require_timeframe
from bot.trading import Trader, terms_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `replay`."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--candles", type=Path, required=True, metavar="FILE", help="CSV, CSV.GZ, Parquet or JSON")
    parser.add_argument(
        "--model", metavar="DIR", help="a folder, a pointer, or a rule such as rule:hold (policy.model)"
    )
    parser.add_argument("--ledger", metavar="URL", required=True, help="where to write: sqlite:///replay.sqlite")
    add_market(parser)
    parser.add_argument("--warmup", type=int, default=0, metavar="N", help="the first N only warm the policy up")
    parser.epilog = (
        "Decides every candle as the daemon would have: with the same candles, warm-up, model and seed the rows are\n"
        "those of `hourhand run`, bit for bit. A ledger that has some of them is continued.\n\n"
        "example: hourhand replay --candles candles.csv --warmup 500 --ledger sqlite:///replay.sqlite"
    )


def call(parsed_args: Namespace) -> int:
    """Replay, and print how it went."""
    every, _ = read_settings(parsed_args)
    settings = market_settings(parsed_args, every)
    if parsed_args.warmup < 0:
        raise UsageError("--warmup is a number of candles, 0 or more")
    model = named_model(parsed_args.model or settings.policy.model)
    require_timeframe(model, settings)
    candles = read_candles(parsed_args.candles, settings.bar)
    ledger = open_writer(parsed_args.ledger)
    try:
        with ledger.writing() as connection:
            mark_practice(connection, practice=True, now=math.inf)
        trader = Trader(terms_of(settings), model, settings.policy.mode, settings.account.initial_share)
        with progress("replay", len(candles)) as update:
            result = replay_candles(ledger, trader, candles, parsed_args.warmup, update)
        with ledger.reading() as connection:
            now = account_summary(connection, settings.account.name)
    finally:
        ledger.close()
    result |= {name: now[name] for name in ("value", "hold_value", "excess", "model_id")}
    print_result(result | {"last_bar_time": now["bar_time"]}, as_json=parsed_args.json)
    warning = in_sample_warning(result["in_sample_bars"], result["bars"])
    if warning:
        print(warning, file=sys.stderr)
    return 0
