"""`hourhand simulate`: the loopback exchange as a command, for whoever wants a bot to meet one without a network."""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, Final

from bot.clock import Clock, bar_seconds, read_clock
from bot.errors import UsageError
from bot.market import Candle, read_candles
from bot.model import provide_shipped, registry
from bot.settings import load_settings
from bot.simulator import (
    CONTROL,
    FAULTS,
    MOST_MARKETS,
    TIMEFRAMES,
    LoopbackExchange,
    beside,
    generate_candles,
    market_tables,
    read_fault,
)

_LOOK: Final = 0.2  # seconds
_EPILOG: Final = f"""\
example:
  hourhand simulate --run
  hourhand simulate --markets 5 --run
  hourhand simulate --seed 7 --bars 2000 --speed 3600

While it runs, switch a fault on and off over HTTP:
  curl -X POST 'http://127.0.0.1:PORT{CONTROL}?name=html&on=all&seconds=5'
  curl -X POST 'http://127.0.0.1:PORT{CONTROL}'
  curl -X POST 'http://127.0.0.1:PORT{CONTROL}?name=timeout&on=all&market=ETHUSD'

faults:
  {" ".join(sorted(FAULTS))}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `simulate`."""
    parser.description = "Serve an exchange on this machine that speaks enough of Bitfinex's REST API, until Ctrl-C."
    parser.epilog = _EPILOG
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--candles", type=Path, metavar="FILE", help="serve the candles of a file (CSV, Parquet, JSON)")
    source.add_argument("--seed", type=int, default=0, metavar="N", help="serve generated candles of this seed (0)")
    parser.add_argument("--bars", type=int, default=10_000, metavar="N", help="how many to generate (10000)")
    parser.add_argument("--timeframe", default="1h", metavar="T", help="length of a bar: 1m, 5m, ... 1d (1h)")
    parser.add_argument(
        "--markets", type=int, default=1, metavar="N", help="how many symbols to serve, BTC/USD first (1)"
    )
    parser.add_argument("--port", type=int, default=0, metavar="P", help="port on 127.0.0.1 (any free one)")
    parser.add_argument("--fault", default="", metavar="NAME[@all]", help="start with a fault, on candles or on all")
    parser.add_argument("--history", type=int, default=500, metavar="N", help="candles closed at the start (500)")
    parser.add_argument(
        "--speed", type=float, default=360.0, metavar="X", help="exchange seconds per real second (360)"
    )
    parser.add_argument(
        "--run", action="store_true", dest="run_daemon", help="also run the daemon against it, on a ledger of its own"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object: url, environment, candles, bar")


def call(parsed_args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. Raises UsageError for candles, a port or a number that cannot be used.

    The clock is that of HOURHAND_CLOCK, else one that starts once `history` candles have closed.
    """
    bar = bar_seconds(parsed_args.timeframe)
    candles = _candles(parsed_args, bar)
    fault = read_fault(parsed_args.fault) if parsed_args.fault else None
    clock = read_clock(os.environ.get("HOURHAND_CLOCK") or _start(candles, parsed_args))
    over = Event()
    before = {kind: signal.signal(kind, lambda *_: over.set()) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        others = beside(candles, parsed_args.markets, parsed_args.seed, bar)
        with LoopbackExchange(candles, clock, fault, bar=bar, port=parsed_args.port, others=others) as exchange:
            environment = _environment(exchange)
            _announce(exchange, environment, parsed_args)
            return _trade(environment, over) if parsed_args.run_daemon else _serve(over)
    except (OSError, OverflowError) as error:
        raise UsageError(f"--port {parsed_args.port} cannot be used: {error}") from error
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _serve(over: Event) -> int:
    over.wait()
    return 0


def _trade(environment: dict[str, str], over: Event) -> int:
    """Run `hourhand run` against the exchange until it ends or `over` is set; its exit code."""
    command = [sys.executable, "-m", "bot", "run"]
    with subprocess.Popen(command, env=os.environ | environment, start_new_session=True) as daemon:  # noqa: S603 - ours
        while daemon.poll() is None and not over.wait(_LOOK):
            continue
        daemon.terminate()
        return daemon.wait()


def _candles(parsed_args: argparse.Namespace, bar: int) -> list[Candle]:
    if bar not in TIMEFRAMES:
        raise UsageError(f"--timeframe {parsed_args.timeframe} is not one of {', '.join(TIMEFRAMES.values()).lower()}")
    if not 1 <= parsed_args.markets <= MOST_MARKETS:
        raise UsageError(f"--markets must be 1 to {MOST_MARKETS}")
    if parsed_args.candles:
        return read_candles(parsed_args.candles, bar)
    if parsed_args.bars < 1 or parsed_args.seed < 0:
        raise UsageError("--bars must be 1 or more, and --seed 0 or more")
    return generate_candles(parsed_args.bars, parsed_args.seed, bar=bar)


def _start(candles: list[Candle], parsed_args: argparse.Namespace) -> str:
    if not 0 < parsed_args.speed < float("inf") or parsed_args.history < 0:
        raise UsageError("--speed must be more than 0, and --history 0 or more")
    first = candles[min(parsed_args.history, len(candles) - 1)].bar_time
    return f"@{first}x{parsed_args.speed:f}@{time.time():f}"


def _shared(clock: Clock) -> str:
    """The clock as HOURHAND_CLOCK, for any process on this machine to read the same time from."""
    return f"@{clock.now():f}x{clock.speed:f}@{time.time():f}"


def _environment(exchange: LoopbackExchange) -> dict[str, str]:
    """The settings to meet the exchange with, and a ledger that no earlier start has used."""
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    ledger = Path("var", f"practice-{started}-{os.getpid()}.sqlite").absolute()
    return _settings_file(exchange, ledger.with_suffix(".toml")) | {
        "HOURHAND_CLOCK": _shared(exchange.clock),
        "HOURHAND_EXCHANGE__ID": "bitfinex",
        "HOURHAND_EXCHANGE__SYMBOL": "BTC/USD",
        "HOURHAND_EXCHANGE__TIMEFRAME": TIMEFRAMES[exchange.market.bar].lower(),
        "HOURHAND_EXCHANGE__BASE_URL": exchange.url,
        "HOURHAND_LEDGER__URL": f"sqlite:///{ledger}",
    }


def _settings_file(exchange: LoopbackExchange, file: Path) -> dict[str, str]:
    """The variables that name a file with the settings of several markets; none for one market."""
    if not exchange.others:
        return {}
    model = load_settings(None).policy.model
    if registry.is_path(model):
        provide_shipped(Path(model))
        model = str(Path(model).absolute())  # in the file, it would count from the file's folder
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(market_tables([market.symbol for market in exchange.others]).lstrip(), encoding="utf-8")
    return {"HOURHAND_CONFIG": str(file), "HOURHAND_POLICY__MODEL": model}


def _announce(exchange: LoopbackExchange, environment: dict[str, str], parsed_args: argparse.Namespace) -> None:
    result: dict[str, Any] = {
        "url": exchange.url,
        "environment": environment,
        "candles": len(exchange.candles),
        "bar": exchange.market.bar,
        "symbols": [market.symbol for market in (exchange.market, *exchange.others)],
    }
    if parsed_args.json:
        print(json.dumps(result), flush=True)
        return
    now = datetime.fromtimestamp(exchange.clock.now(), UTC)
    last = datetime.fromtimestamp(exchange.candles[-1].bar_time, UTC)
    print(f"{exchange.url} serves {len(exchange.candles)} candles ({parsed_args.timeframe}) as Bitfinex's BTC/USD.")
    if exchange.others:
        print(f"Beside it: {', '.join(market.symbol for market in exchange.others)}.")
    print(f"There it is {now:%Y-%m-%d %H:%M} UTC, the last candle is of {last:%Y-%m-%d %H:%M}.")
    print(f"The practice ledger of this start: {environment['HOURHAND_LEDGER__URL']}", flush=True)
    if not parsed_args.run_daemon:
        print("\nMeet it with these settings (or let `hourhand simulate --run` do it):\n")
        print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items()))
        print("hourhand run\n", flush=True)
    print("Ctrl-C ends it.", file=sys.stderr)
