"""The daemon as a process: signals, exit codes, and what it prints."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from bot.cli import main
from bot.ledger import is_in_use
from bot.model import save_model
from bot.simulator import OUTAGE, generate_candles
from bot.simulator.faults import Fault
from bot.simulator.generate import START
from tests.harness import HOUR, World, environment, events_at, hourhand, model_of, rows_at, world_of

CANDLES = generate_candles(60, seed=5, holes=0, quiet=0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    save_model(model_of(1), tmp_path / "model")
    with world_of(tmp_path, CANDLES) as world:
        world.dial.now = START + 31 * HOUR + 30
        yield world


def variables(world: World, **changes: str) -> dict[str, str]:
    return {
        "HOURHAND_CLOCK": f"@{world.dial.now}",
        "HOURHAND_EXCHANGE__BASE_URL": world.exchange.url,
        "HOURHAND_POLICY__MODEL": "model",
        "HOURHAND_LEDGER__URL": world.url,
        "HOURHAND_SCHEDULE__WARMUP_BARS": "5",
    } | changes


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (signal.SIGTERM, Fault("timeout", "all")),
        (signal.SIGINT, Fault("trickle", "all")),
        (signal.SIGTERM, OUTAGE),
        (signal.SIGINT, None),
    ],
    ids=str,
)
def test_a_signal_ends_it_between_two_bars(world: World, number: int, fault: Fault | None) -> None:
    """Within five seconds, whatever the exchange does."""
    world.exchange.fault = fault
    env = environment(
        PYTHONPATH=str(Path(__file__).parents[3]), **variables(world, HOURHAND_EXCHANGE__TIMEOUT_SECONDS="1e9")
    )
    command = [sys.executable, "-m", "bot", "run"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=world.folder, env=env, text=True, **pipes)  # type: ignore[call-overload]
    assert process.stderr is not None
    if fault and fault != OUTAGE:
        while not world.exchange.requests:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)  # until the request has arrived, where it hangs
    else:
        awaited = '"exchange_error"' if fault else '"bar"'
        assert any(awaited in line for line in process.stderr)
    assert is_in_use(world.url)
    process.send_signal(number)
    out, err = process.communicate(timeout=5)
    assert (process.returncode, out) == (0, "")
    assert all(json.loads(line) for line in err.splitlines())
    assert events_at(world.url)[0] == "started"
    assert events_at(world.url)[-1] == "stopped"
    assert len(rows_at(world.url)["decisions"]) == (fault is None)
    assert not is_in_use(world.url)


@pytest.fixture
def _own_signals() -> Iterator[None]:
    """What the command sets in its process is this one's again afterwards."""
    kinds = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {kind: signal.getsignal(kind) for kind in kinds}
    yield
    for kind, handler in before.items():
        signal.signal(kind, handler)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"HOURHAND_EXCHANGE__ID": "bitfinix"}, 2, "exchange.id"),
        ({"HOURHAND_EXCHANGE__TIMEFRAME": "7m"}, 2, "exchange.timeframe"),
        ({"HOURHAND_EXCHANGE__BASE_URL": ""}, 2, "exchange.base_url"),
        ({"HOURHAND_CLOCK": "noon"}, 2, "HOURHAND_CLOCK=noon"),
        ({"HOURHAND_ACCOUNT__COMMISSION": "1.5"}, 2, "account.commission"),
        ({"HOURHAND_ACOUNT__NAME": "x"}, 2, "HOURHAND_ACOUNT__NAME"),
        ({"HOURHAND_LEDGER__URL": "oracle://x"}, 2, "ledger.url"),
        ({"HOURHAND_POLICY__MODEL": "nowhere"}, 5, "nowhere"),
    ],
)
@pytest.mark.usefixtures("_own_signals")
def test_what_is_wrong_is_said_in_one_sentence(
    world: World,
    change: dict[str, str],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(world.folder)
    for name, value in variables(world, **change).items():
        monkeypatch.setenv(name, value)
    assert main(["run"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("hourhand: ")
    assert words in err
    assert not world.exchange.requests


@pytest.mark.parametrize("once", [["--once"], []])
def test_a_symbol_that_the_exchange_does_not_have_is_wrong_usage(world: World, once: list[str]) -> None:
    done = hourhand("run", *once, cwd=world.folder, **variables(world, HOURHAND_EXCHANGE__SYMBOL="BTC/USX"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("hourhand: exchange.symbol = 'BTC/USX' is not a market")
    assert "Traceback" not in done.stderr


def test_run_once_ends_with_6_where_the_exchange_refuses(world: World) -> None:
    world.exchange.fault = Fault("451", "all")
    done = hourhand("run", "--once", "--json", cwd=world.folder, **variables(world))
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.splitlines()[-1].startswith("hourhand: bitfinex refuses to serve this machine")
    world.exchange.fault = None
    done = hourhand("run", "--once", "--json", cwd=world.folder, **variables(world))
    assert (done.returncode, json.loads(done.stdout)) == (0, {"bars": 1, "bar_time": START + 30 * HOUR})
    world.exchange.fault = OUTAGE
    doctor = hourhand("doctor", "--json", cwd=world.folder, **variables(world))
    assert (doctor.returncode, json.loads(doctor.stdout)["ok"]) == (6, False)


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        at = f"@{START + 31 * HOUR + 30}"
        settings = environment(
            HOURHAND_CLOCK=at, HOURHAND_EXCHANGE__BASE_URL=world.exchange.url, HOURHAND_LEDGER__URL=world.url
        )
        world.dial.now = START + 31 * HOUR + 30
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "bot", "run", "--once", "--json"],
                env=settings,
                stdout=subprocess.PIPE,
                stderr=full,
                timeout=60,
                check=False,
            )
        assert done.returncode == 0
        assert json.loads(done.stdout)["bars"] == 1
