"""`python -m tests.walk --candles FILE --out DIR`: a year walked forward, as on a server that retrains each month.

The daemon runs on a loopback exchange that serves the file's candles on a fast clock; at the beginning of each month
`hourhand-train refresh` does its round beside it, and what passes the gate is taken up while it trades. At the end the
ledger is verified and reported. Every round, one JSON object on standard output.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bot.clock import Clock
from bot.market import read_candles
from bot.model import SHIPPED_POINTER
from bot.simulator import LoopbackExchange

SETTINGS = """\
[exchange]
base_url = "{url}"

[policy]
model = "{folder}/models/current"

[schedule]
max_decision_delay_seconds = 1e9
catch_up = "trade"

[ledger]
url = "sqlite:///{folder}/ledger.sqlite"

[refresh]
folder = "{folder}/refresh"
steps = {steps}
max_turnover_a_day = {turnover}
max_drawdown = 0.9
"""


def main() -> None:
    """Walk the year, and print each round's decision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candles", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a new folder for models, ledger, rounds and report")
    parser.add_argument("--year", type=int, default=2022)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--steps", type=int, default=3_000_000, help="of training, each round")
    parser.add_argument("--speed", type=float, default=20_000.0, help="hours of the exchange in an hour")
    parser.add_argument("--turnover", type=float, default=20.0, help="the gate's most a day")
    parser.add_argument("--models", type=Path, default=SHIPPED_POINTER.parent, help="the registry to begin with")
    walk(parser.parse_args())


def walk(parsed_args: argparse.Namespace) -> None:
    """The daemon beside, the rounds in front."""
    folder = parsed_args.out.absolute()
    shutil.copytree(parsed_args.models, folder / "models")
    candles = read_candles(parsed_args.candles, 3600)
    start = _month(parsed_args.year, 1)
    since = time.time() + 3.0
    clock = Clock(start, parsed_args.speed, since, time.time, simulated=True)
    environment = {**os.environ, "HOURHAND_CLOCK": f"@{start}x{parsed_args.speed:.0f}@{since}"}
    with LoopbackExchange(candles, clock) as exchange, (folder / "daemon.log").open("w") as log:
        config = folder / "bot.toml"
        config.write_text(
            SETTINGS.format(url=exchange.url, folder=folder, steps=parsed_args.steps, turnover=parsed_args.turnover)
        )
        given = ["--config", str(config)]
        daemon = subprocess.Popen([sys.executable, "-m", "bot", "run", *given], env=environment, stderr=log)
        try:
            for month in range(1, parsed_args.months + 1):
                _wait(clock, _month(parsed_args.year, month))
                _round(environment, given)
            _wait(clock, _month(parsed_args.year, parsed_args.months + 1))
        finally:
            daemon.terminate()
            daemon.wait()
        for command in (["status"], ["verify"], ["report", "--out", str(folder / "report.html")]):
            subprocess.run([sys.executable, "-m", "bot", *command, *given, "--json"], env=environment, check=True)


def _round(environment: dict[str, str], given: list[str]) -> None:
    words = ["nice", sys.executable, "-m", "training", "refresh", *given, "--json"]
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout.strip() or json.dumps({"exit_code": done.returncode}), flush=True)


def _month(year: int, month: int) -> int:
    return int(datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC).timestamp())


def _wait(clock: Clock, until: float) -> None:
    while (left := clock.real(until - clock.now())) > 0:
        time.sleep(min(left, 1.0))


if __name__ == "__main__":
    main()
