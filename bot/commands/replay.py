"""`hourhand replay`."""

import math
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from bot.commands.account_option import add_market, market_settings
from bot.console import add_config, add_json, print_result, progress, read_settings
from bot.errors import LedgerError, UsageError
from bot.ledger import account_summary, check_name, mark_practice, open_reader, open_writer, read_terms
from bot.market import read_candles
from bot.model import Model, in_sample_warning, named_model
from bot.service import replay_candles, require_timeframe
from bot.settings import Settings
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
    parser.add_argument("--warmup", type=int, default=0, metavar="N", help="warm the policy up on the first N (0)")
    parser.epilog = (
        "Decides every candle as the daemon would have: with the same candles, warm-up, model and seed the rows equal\n"
        "those of `hourhand run`, bit for bit. A ledger that already has some of the candles is continued.\n\n"
        "example: hourhand replay --candles candles.csv --warmup 500 --ledger sqlite:///replay.sqlite"
    )


def _trader(settings: Settings, model: Model) -> Trader:
    """The settings' trader, with the exchange's limits that the daemon's ledger has for its account, if any."""
    trader = Trader(terms_of(settings), model, settings.policy.mode, settings.account.initial_share)
    if not trader.lacks_limits:
        return trader
    try:
        ledger = open_reader(settings.ledger.url)
    except LedgerError:
        return trader
    with ledger.reading() as connection:
        opened = read_terms(connection, trader.terms.name)
    ledger.close()
    limits = opened.rules.limits if opened and opened.market == trader.terms.market else None
    return trader if limits is None else trader.with_limits(limits)


def call(parsed_args: Namespace) -> int:
    """Replay, and print how it went."""
    every, _ = read_settings(parsed_args)
    settings = market_settings(parsed_args, every)
    if parsed_args.warmup < 0:
        raise UsageError("--warmup must be a number of candles, 0 or more")
    model = named_model(parsed_args.model or settings.policy.model)
    require_timeframe(model, settings)
    candles = read_candles(parsed_args.candles, settings.bar)
    ledger = open_writer(parsed_args.ledger)
    try:
        with ledger.writing() as connection:
            mark_practice(connection, practice=True, now=math.inf)
            check_name(connection, settings.account.name)
        trader = _trader(settings, model)
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
