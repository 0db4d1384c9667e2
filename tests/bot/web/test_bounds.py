"""Ten years of hours and three accounts: quick once warm, small, and what takes long is kept until the next bar."""

import os
import shutil
import statistics
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bot.web.server import Server
from tests.ledgers import append_bar, two_models

pytestmark = pytest.mark.slow
TICKS = os.sysconf("SC_CLK_TCK")
PATHS = (
    "",
    "api/v1/accounts",
    "api/v1/accounts/main/decisions?limit=500",
    "api/v1/accounts/main/fills?limit=500",
    "api/v1/accounts/main/equity?points=1000",
    "api/v1/candles?limit=500",
    "api/v1/events",
    "api/v1/models",
    "charts?account=main",
    "parts/now",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, ten_years: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bounds")
    found = Server(folder, Path(shutil.copy(ten_years, folder / "ledger.sqlite")))
    found.wait()
    yield found
    assert found.stop() == 0


def processor_seconds(server: Server) -> float:
    """What the server has used so far: unlike the wall's clock, the same on a busy machine."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def cost(server: Server, path: str) -> float:
    """Processor seconds of one request."""
    before = processor_seconds(server)
    with urllib.request.urlopen(server.url + path, timeout=60) as answer:
        assert answer.status == 200
        answer.read()
    return processor_seconds(server) - before


def test_answers_are_quick_once_warm_and_memory_is_bounded(server: Server) -> None:
    for path in PATHS:
        cost(server, path)
    for path in PATHS:
        assert statistics.median(cost(server, path) for _ in range(5)) <= 0.5, path
    for path in ("api/v1/report", "api/v1/compare"):
        assert cost(server, path) <= 3.0, path
        assert cost(server, path) <= 0.1, path
    append_bar(server.file, two_models()[1])
    assert cost(server, "api/v1/accounts/main/equity") <= 0.5  # the new bar alone is read
    assert cost(server, "api/v1/compare?accounts=main,cautious") <= 3.0
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    assert resident <= 220, resident
