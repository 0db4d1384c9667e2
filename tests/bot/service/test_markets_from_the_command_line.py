"""Several markets from the command line: what `run --once` says of them, a hangup, and an address that is missing."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.clock import read_clock
from bot.simulator.faults import Fault
from bot.simulator.generate import START
from tests.harness import HOUR, environment, hourhand
from tests.many import Exchanges, exchanges


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Exchanges]:
    with exchanges(tmp_path, 5) as made:
        yield made


def test_the_command_says_which_was_not_decided_and_ends_with_6(world: Exchanges) -> None:
    world.exchange.market_faults["ETHUSD"] = Fault("451", "all")
    file = world.folder / "bot.toml"
    file.write_text(
        f'[exchange]\nbase_url = "{world.exchange.url}"\n[schedule]\nwarmup_bars = 20\n'
        '[policy]\nmodel = "models/current"\n[ledger]\nurl = "sqlite:///ledger.sqlite"\n'
        '[[markets]]\nname = "eth"\nsymbol = "ETH/USD"\n'
    )
    world.dial.now = START + 31 * HOUR + 30.0
    clock = f"@{world.dial.now:.0f}x100"
    done = hourhand("run", "--once", "--json", "--config", "bot.toml", cwd=world.folder, HOURHAND_CLOCK=clock)
    assert done.returncode == 6
    printed = json.loads(done.stdout)
    assert [(one["account"], one["bars"], one["error"] is None) for one in printed["markets"]] == [
        ("main", 1, True), ("eth", 0, False),
    ]  # fmt: skip
    assert "1 of 2 markets were not decided: eth: " in done.stderr.splitlines()[-1]
    status = hourhand("status", "--json", "--config", "bot.toml", cwd=world.folder, HOURHAND_CLOCK=clock)
    assert [one["account"] for one in json.loads(status.stdout)["accounts"]] == ["main"]
    health = hourhand("health", "--config", "bot.toml", cwd=world.folder, HOURHAND_CLOCK=clock)
    assert health.returncode == 1
    assert "1 of 2 markets; eth: no bar" in health.stdout


def test_a_hangup_makes_the_daemon_read_the_markets_again(world: Exchanges) -> None:
    file = world.folder / "bot.toml"
    file.write_text(
        f'[exchange]\nbase_url = "{world.exchange.url}"\n[schedule]\nwarmup_bars = 20\n'
        '[policy]\nmodel = "models/current"\n[ledger]\nurl = "sqlite:///ledger.sqlite"\n'
    )
    clock = f"@{START + 31 * HOUR + 30}x60@{time.time():.3f}"
    world.exchange.clock = read_clock(clock)
    command = [sys.executable, "-m", "bot", "run", "--config", "bot.toml"]
    env = environment(PYTHONPATH=str(Path(__file__).parents[3]), HOURHAND_CLOCK=clock)
    with subprocess.Popen(command, cwd=world.folder, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = (json.loads(line) for line in process.stderr)
        next(line for line in lines if line["event"] == "bar")
        with file.open("a") as settings:
            settings.write('[[markets]]\nname = "eth"\nsymbol = "ETH/USD"\n')
        process.send_signal(signal.SIGHUP)
        assert next(line for line in lines if line["event"] == "market_added")["market"] == "eth"
        assert next(line for line in lines if line["event"] == "bar")["account"] == "eth"
        process.terminate()
        assert [line["event"] for line in lines][-1] == "stopped"
    assert process.returncode == 0
    world.proven()


def test_a_simulated_clock_needs_an_address_for_every_market(world: Exchanges) -> None:
    file = world.folder / "bot.toml"
    file.write_text(f'[exchange]\nbase_url = "{world.exchange.url}"\n[[markets]]\nname = "k"\nexchange = "kraken"\n')
    done = hourhand("status", "--config", "bot.toml", cwd=world.folder, HOURHAND_CLOCK="@1577836800")
    assert done.returncode == 2
    assert "base_url of market k" in done.stderr
