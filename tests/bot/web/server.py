"""`hourhand serve` in a process of its own."""

import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.bot.web.conftest import settings_for
from tests.harness import environment


class Server:
    """`hourhand serve` in a process of its own."""

    def __init__(self, folder: Path, file: Path, port: int = 0, **env: str) -> None:
        self.file = file
        with socket.create_server(("127.0.0.1", port)) as free:
            self.port = free.getsockname()[1]
        settings = settings_for(folder, f"sqlite:///{file}")
        self.pointer = Path(settings.policy.model)
        self.url = f"http://127.0.0.1:{self.port}/"
        names = {"HOURHAND_LEDGER__URL": settings.ledger.url, "HOURHAND_POLICY__MODEL": settings.policy.model, **env}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bot", "serve", "--port", str(self.port)],
            env=environment(PYTHONPATH=str(Path(__file__).parents[3]), **names),
            cwd=folder,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.process.terminate()
        return self.process.wait(20)

    def wait(self) -> None:
        """Until it answers."""
        wait_for(self.url)


def wait_for(url: str) -> None:
    """Until the server at `url` answers."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url + "api/v1/models", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("hourhand serve does not answer")
