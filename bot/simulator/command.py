"""`hourhand simulate`: the loopback exchange as a command, for whoever wants a bot to meet one without a network."""

import argparse
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, Final

from bot.candle_files import read_candles
from bot.candles import Candle, bar_seconds
from bot.clock import Clock, read_clock
from bot.errors import UsageError
from bot.simulator.faults import FAULTS, read_fault
from bot.simulator.generate import generate
from bot.simulator.market import TIMEFRAMES
from bot.simulator.server import CONTROL, LoopbackExchange

_EPILOG: Final = f"""\
example:
  hourhand simulate --seed 7 --bars 2000 --speed 3600

While it runs, a fault is switched on and off over HTTP:
  curl -X POST 'http://127.0.0.1:PORT{CONTROL}?name=html&on=all&seconds=5'
  curl -X POST 'http://127.0.0.1:PORT{CONTROL}'

faults:
  {" ".join(sorted(FAULTS))}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `simulate`."""
    parser.description = "An exchange on this machine that speaks enough of Bitfinex's REST for the bot, until Ctrl-C."
    parser.epilog = _EPILOG
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--candles", type=Path, metavar="FILE", help="serve the candles of a file (CSV, Parquet, JSON)")
    source.add_argument("--seed", type=int, default=0, metavar="N", help="serve generated candles of this seed (0)")
    parser.add_argument("--bars", type=int, default=10_000, metavar="N", help="how many to generate (10000)")
    parser.add_argument("--timeframe", default="1h", metavar="T", help="length of a bar: 1m, 5m, ... 1d (1h)")
    parser.add_argument("--port", type=int, default=0, metavar="P", help="port on 127.0.0.1 (any that is free)")
    parser.add_argument("--fault", default="", metavar="NAME[@all]", help="start with a fault, on candles or on all")
    parser.add_argument("--history", type=int, default=500, metavar="N", help="candles closed at the start (500)")
    parser.add_argument(
        "--speed", type=float, default=360.0, metavar="X", help="seconds of the exchange a second (360)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object: url, environment, candles, bar")


def simulate(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. Raises UsageError for candles, a port or a number that cannot be used.

    The clock is that of HOURHAND_CLOCK, else one that starts once `history` candles have closed.
    """
    bar = bar_seconds(arguments.timeframe)
    candles = _candles(arguments, bar)
    fault = read_fault(arguments.fault) if arguments.fault else None
    clock = read_clock(os.environ.get("HOURHAND_CLOCK") or _start(candles, arguments))
    over = Event()
    before = {kind: signal.signal(kind, lambda *_: over.set()) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        with LoopbackExchange(candles, clock, fault, bar=bar, port=arguments.port) as exchange:
            _announce(exchange, arguments)
            over.wait()
    except (OSError, OverflowError) as error:
        raise UsageError(f"--port {arguments.port} cannot be served on: {error}") from error
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
    return 0


def _candles(arguments: argparse.Namespace, bar: int) -> list[Candle]:
    if bar not in TIMEFRAMES:
        raise UsageError(f"--timeframe {arguments.timeframe} is not one of {', '.join(TIMEFRAMES.values()).lower()}")
    if arguments.candles:
        return read_candles(arguments.candles, bar)
    if arguments.bars < 1 or arguments.seed < 0:
        raise UsageError("--bars is 1 or more, and --seed 0 or more")
    return generate(arguments.bars, arguments.seed, bar=bar)


def _start(candles: list[Candle], arguments: argparse.Namespace) -> str:
    if not 0 < arguments.speed < float("inf") or arguments.history < 0:
        raise UsageError("--speed is more than 0, and --history 0 or more")
    first = candles[min(arguments.history, len(candles) - 1)].bar_time
    return f"@{first}x{arguments.speed:f}@{time.time():f}"


def _shared(clock: Clock) -> str:
    """The clock as HOURHAND_CLOCK, for any process on this machine to read the same time from."""
    return f"@{clock.now():f}x{clock.speed:f}@{time.time():f}"


def _announce(exchange: LoopbackExchange, arguments: argparse.Namespace) -> None:
    environment = {
        "HOURHAND_CLOCK": _shared(exchange.clock),
        "HOURHAND_EXCHANGE__ID": "bitfinex",
        "HOURHAND_EXCHANGE__SYMBOL": "BTC/USD",
        "HOURHAND_EXCHANGE__TIMEFRAME": TIMEFRAMES[exchange.market.bar].lower(),
        "HOURHAND_EXCHANGE__BASE_URL": exchange.url,
    }
    told: dict[str, Any] = {
        "url": exchange.url,
        "environment": environment,
        "candles": len(exchange.candles),
        "bar": exchange.market.bar,
    }
    if arguments.json:
        print(json.dumps(told), flush=True)
        return
    now = datetime.fromtimestamp(exchange.clock.now(), UTC)
    last = datetime.fromtimestamp(exchange.candles[-1].bar_time, UTC)
    print(f"{exchange.url} serves {len(exchange.candles)} candles ({arguments.timeframe}) as Bitfinex's BTC/USD.")
    print(f"There it is {now:%Y-%m-%d %H:%M} UTC, the last candle is of {last:%Y-%m-%d %H:%M}. Use it with:\n")
    print(" ".join(f"{name}={value}" for name, value in environment.items()), "hourhand run\n", flush=True)
    print("Ctrl-C ends it.", file=sys.stderr)
