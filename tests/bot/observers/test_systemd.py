"""systemd's side of the notify socket, played to the real `hourhand run`."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.errors import ModelError
from bot.model import save_model
from bot.observers import notify, watchdog_seconds
from bot.observers.systemd import listening
from bot.simulator.faults import read_fault
from bot.simulator.generate import START
from tests.harness import HOUR, World, environment, model_of, world_of

WAIT = 30.0
FAILED = "STATUS=failed: "
WATCHDOG = 2.0  # seconds; fed each quarter of it, or each second


class Supervisor:
    """The socket that systemd would listen on, and the daemon that it started."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.seen: list[str] = []

    def next(self, seconds: float = WAIT) -> str:
        """The next line but STATUS; raises TimeoutError."""
        self.socket.settimeout(seconds)
        while True:
            line = self.socket.recv(4096).decode()
            self.seen.append(line)
            if not line.startswith("STATUS="):
                return line

    def until(self, start: str) -> str:
        """The next line that starts so."""
        self.socket.settimeout(WAIT)
        while not (self.seen and self.seen[-1].startswith(start)):
            self.seen.append(self.socket.recv(4096).decode())
        line = self.seen[-1]
        self.seen.append("")
        return line

    def rest(self) -> list[str]:
        """What else has been said."""
        lines = []
        self.socket.settimeout(0.0)
        try:
            while True:
                lines.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return lines


@contextmanager
def supervised(world: World, **env: str) -> Iterator[tuple[Supervisor, "subprocess.Popen[str]"]]:
    """`hourhand run` with the world's exchange, ledger and model, as systemd would start it."""
    supervisor = Supervisor(world.folder)
    if not (world.folder / "model").exists():
        save_model(model_of(1), world.folder / "model")
    settings = {
        "NOTIFY_SOCKET": supervisor.address,
        "WATCHDOG_USEC": str(int(WATCHDOG * 1e6)),
        "HOURHAND_CLOCK": f"@{START + 31 * HOUR + 30}",
        "HOURHAND_EXCHANGE__BASE_URL": world.exchange.url,
        "HOURHAND_EXCHANGE__TIMEOUT_SECONDS": "60",
        "HOURHAND_LEDGER__URL": world.url,
        "HOURHAND_POLICY__MODEL": str(world.folder / "model"),
        "HOURHAND_SCHEDULE__WARMUP_BARS": "20",
    }
    daemon = subprocess.Popen(
        [sys.executable, "-m", "bot", "run"],
        cwd=world.folder,
        env=environment(PYTHONPATH=str(Path(__file__).parents[3]), **(settings | env)),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield supervisor, daemon
    finally:
        daemon.kill()
        daemon.wait(WAIT)
        assert daemon.stderr is not None
        daemon.stderr.close()
        supervisor.socket.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_of(tmp_path) as made:
        made.dial.now = START + 31 * HOUR + 30
        yield made


def ended(daemon: "subprocess.Popen[str]") -> tuple[int, str]:
    """Its exit code and the last line that it wrote."""
    assert daemon.stderr is not None
    said = daemon.stderr.read()
    return daemon.wait(WAIT), said.splitlines()[-1] if said else ""


def test_ready_alive_and_stopping(world: World) -> None:
    with supervised(world) as (systemd, daemon):
        assert systemd.until("READY=1") == "READY=1"
        assert "STATUS=no bar decided yet" in systemd.seen or systemd.until("STATUS=no bar")
        assert systemd.until("STATUS=bar ").startswith("STATUS=bar 2020-01-02T06:00:00Z: ")
        for _ in range(3):
            assert systemd.next() == "WATCHDOG=1"
        daemon.send_signal(signal.SIGTERM)
        assert systemd.until("STOPPING=1") == "STOPPING=1"
        assert ended(daemon)[0] == 0
        assert [line for line in systemd.rest() if not line.startswith("STATUS=")] == []


@pytest.mark.parametrize("fault", ["refused", "500"])
def test_ready_though_the_exchange_is_down(world: World, fault: str) -> None:
    world.exchange.fault = read_fault(f"{fault}@all")
    with supervised(world) as (systemd, _):
        systemd.until("READY=1")
        assert systemd.until("STATUS=exchange_error").startswith("STATUS=exchange_error: ")
        assert [systemd.next() for _ in range(2)] == ["WATCHDOG=1"] * 2


def test_a_bad_model_a_used_ledger_and_wrong_settings_are_never_ready(world: World) -> None:
    with supervised(world, HOURHAND_POLICY__MODEL="nowhere") as (systemd, daemon):
        assert ended(daemon)[0] == ModelError.exit_code
        assert systemd.rest() == [FAILED + "policy.model: there is neither a model nor a pointer to one at nowhere"]
        Path(systemd.address).unlink()
    with supervised(world, HOURHAND_ACCOUNT__COMMISSION="2") as (systemd, daemon):
        assert ended(daemon)[0] == 2
        assert systemd.rest() == []
        Path(systemd.address).unlink()
    with world.poller(model_of(1)), supervised(world) as (systemd, daemon):
        assert ended(daemon)[0] == 3
        assert [line.startswith(FAILED) for line in systemd.rest()] == [True]


def test_a_ledger_that_is_none_is_never_ready(world: World) -> None:
    (world.folder / "ledger.sqlite").write_bytes(b"not a ledger at all " * 300)
    with supervised(world) as (systemd, daemon):
        assert ended(daemon)[0] == 4
        assert [line.startswith(FAILED) for line in systemd.rest()] == [True]


def test_a_stopped_process_starves_the_watchdog(world: World) -> None:
    with supervised(world) as (systemd, daemon):
        systemd.until("READY=1")
        assert systemd.until("WATCHDOG=1")
        daemon.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, daemon.pid, os.WSTOPPED | os.WNOWAIT)
        systemd.rest()
        with pytest.raises(TimeoutError):
            systemd.next(WATCHDOG)
        daemon.send_signal(signal.SIGCONT)
        assert systemd.next() == "WATCHDOG=1"


def test_an_exchange_that_hangs_is_no_reason_for_a_restart(world: World) -> None:
    world.exchange.fault = read_fault("timeout@all")
    with supervised(world) as (systemd, daemon):
        systemd.until("READY=1")
        for _ in range(5):  # before the first poll, and while its request hangs
            assert systemd.next(WATCHDOG) == "WATCHDOG=1"
        world.exchange.fault = None
        daemon.send_signal(signal.SIGTERM)  # and yet it ends, long before the request would
        assert systemd.next() == "STOPPING=1"
        assert ended(daemon)[0] == 0


def test_the_names_of_the_protocol(tmp_path: Path) -> None:
    assert not listening({})
    notify("READY=1", {})
    notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    name = f"@hourhand-{os.getpid()}-{threading.get_ident()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind("\0" + name[1:])
        assert listening({"NOTIFY_SOCKET": name})
        notify("READY=1", {"NOTIFY_SOCKET": name})
        assert abstract.recv(100) == b"READY=1"
    mine = str(os.getpid())
    assert watchdog_seconds({}) == 0.0
    assert watchdog_seconds({"WATCHDOG_USEC": "3000000"}) == 3.0
    assert watchdog_seconds({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": mine}) == 3.0
    assert watchdog_seconds({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": mine + "1"}) == 0.0
    assert watchdog_seconds({"WATCHDOG_USEC": "nonsense"}) == 0.0
