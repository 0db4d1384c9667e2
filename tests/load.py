"""Load on the page: streams and requests for a while, beside a daemon that has its bars to decide: `make load`.

The daemon lives on a simulated clock, a bar in every two seconds, and counts as late where a bar is decided later than
its close, the poll's delay and a second. All of it is on this machine.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import httpx2
from sqlalchemy import select

from bot.clock import read_clock
from bot.ledger import open_reader, tables
from bot.simulator import LoopbackExchange, generate_candles
from tests.harness import HOUR, environment

SPEED = 1800.0  # a bar in two seconds
BEFORE = 600
PATHS = (
    "",
    "api/v1/accounts",
    "api/v1/accounts/main/equity?points=1000",
    "api/v1/candles?limit=500",
    "charts?account=main",
)


async def stream(client: httpx2.AsyncClient, url: str, heard: list[int], end: float) -> None:
    """Listen until the end; count the bars."""
    async with client.stream("GET", f"{url}api/v1/stream", timeout=None) as answer:
        async for line in answer.aiter_lines():
            heard[0] += line == "event: bar"
            if time.monotonic() > end:
                return


async def ask(client: httpx2.AsyncClient, url: str, took: list[float], failed: list[int]) -> None:
    """One request."""
    began = time.monotonic()
    try:
        answer = await client.get(url, timeout=20)
    except httpx2.HTTPError:
        failed[0] += 1
        return
    took.append(time.monotonic() - began)
    failed[0] += answer.status_code != 200


async def load(url: str, streams: int, rate: float, seconds: float) -> tuple[list[float], int, int]:
    """How long each request took, how many failed, and how many bars the streams heard."""
    took: list[float] = []
    failed, heard = [0], [0]
    end = time.monotonic() + seconds
    limits = httpx2.Limits(max_connections=streams + 200)
    async with httpx2.AsyncClient(limits=limits) as client:
        listening = [asyncio.create_task(stream(client, url, heard, end)) for _ in range(streams)]
        asked = []
        for number in range(int(rate * seconds)):
            asked.append(asyncio.create_task(ask(client, url + PATHS[number % len(PATHS)], took, failed)))
            await asyncio.sleep(max(0.0, end - seconds + (number + 1) / rate - time.monotonic()))
        await asyncio.gather(*asked)
        for task in listening:
            task.cancel()
    return took, failed[0], heard[0]


def delays(log: str) -> list[float]:
    """Seconds of the machine from each bar's close to its line in the log, by the daemon's own clock."""
    found = []
    for line in log.splitlines():
        if '"event": "bar"' in line:
            entry = json.loads(line)
            at, bar = (datetime.fromisoformat(entry[name]).timestamp() for name in ("timestamp", "time"))
            found.append((at - bar - HOUR) / SPEED)
    return found


def main() -> None:
    """Run it, and print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parsed_args = parser.parse_args()
    candles = generate_candles(BEFORE + 400, 7, holes=0.0)
    clock_text = f"@{candles[BEFORE].bar_time}x{SPEED:.0f}@{time.time():.3f}"
    with tempfile.TemporaryDirectory() as name, LoopbackExchange(candles, read_clock(clock_text)) as exchange:
        folder = Path(name)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        env = environment(
            PYTHONPATH=str(Path(__file__).parents[1]),
            HOURHAND_CLOCK=clock_text,
            HOURHAND_EXCHANGE__BASE_URL=exchange.url,
            HOURHAND_LEDGER__URL=f"sqlite:///{folder}/ledger.sqlite",
            HOURHAND_SCHEDULE__MAX_DECISION_DELAY_SECONDS="100000",
        )
        with (folder / "log").open("w") as log:
            daemon = subprocess.Popen([sys.executable, "-m", "bot", "run"], env=env, cwd=folder, stderr=log)
            command = [sys.executable, "-m", "bot", "serve", "--port", str(port)]
            server = subprocess.Popen(command, env=env, cwd=folder, stderr=subprocess.DEVNULL)
            try:
                time.sleep(10)
                before = len((folder / "log").read_text())
                quiet_until = time.monotonic() + 15
                while time.monotonic() < quiet_until:
                    time.sleep(0.5)
                middle = len((folder / "log").read_text())
                took, failed, heard = asyncio.run(
                    load(f"http://127.0.0.1:{port}/", parsed_args.streams, parsed_args.rate, parsed_args.seconds)
                )
                status = Path(f"/proc/{server.pid}/status").read_text()
            finally:
                server.terminate()
                daemon.terminate()
                server.wait(20)
                daemon.wait(20)
        text = (folder / "log").read_text()
        alone, loaded = delays(text[before:middle]), delays(text[middle:])
        ledger = open_reader(env["HOURHAND_LEDGER__URL"])
        with ledger.reading() as connection:
            reasons = set(connection.execute(select(tables.decisions.c.reason)).scalars())
        ledger.close()
    quantiles = statistics.quantiles(took, n=20)
    memory = re.search(r"VmHWM:\s+(\d+)", status)
    print(
        json.dumps(
            {
                "streams": parsed_args.streams,
                "requests": len(took),
                "failed": failed,
                "median_ms": round(1000 * statistics.median(took), 1),
                "p95_ms": round(1000 * quantiles[-1], 1),
                "bars_heard_a_stream": round(heard / max(parsed_args.streams, 1), 1),
                "bars": len(loaded),
                "reasons": sorted(reasons),
                "delay_alone_median_s": round(statistics.median(alone), 3),
                "delay_loaded_median_s": round(statistics.median(loaded), 3),
                "delay_loaded_worst_s": round(max(loaded), 3),
                "server_memory_mb": round(int(memory[1]) / 1024) if memory else None,
                "cores": os.cpu_count(),
            }
        )
    )


if __name__ == "__main__":
    main()
