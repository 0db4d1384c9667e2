"""Pictures of the page and the report, to look at: `make screenshots`. Needs chromium."""

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from bot.clock import newest_closed
from bot.ledger import open_writer
from bot.model import load_model, registry
from tests.bot.web.server import wait_for
from tests.harness import HOUR, environment
from tests.ledgers import two_models, write_ledger

BARS = 4_400
SIZES = {"desk": (1280, 860), "phone": (390, 844)}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def shoot(browser: Browser, url: str, folder: Path, name: str, *, whole: bool) -> None:
    """The page at both sizes, light and dark."""
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            options: Any = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
            page = browser.new_page(**options, device_scale_factor=1)
            page.goto(url, wait_until="commit")
            page.wait_for_load_state("load")
            if "/report" not in url and not url.startswith("file"):
                page.wait_for_function("() => document.querySelector('#connection').textContent === 'live'")
                page.wait_for_function("() => charts.data() !== null")
                page.wait_for_selector("[data-part=compare] table")
                page.wait_for_timeout(400)
            page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=whole)
            page.close()


@contextmanager
def world() -> Iterator[str]:
    """A server over a ledger of half a year that a daemon seems to hold, with the shipped models; its address."""
    with tempfile.TemporaryDirectory(prefix="hourhand-shots-") as name:
        folder = Path(name)
        pointer = folder / "models" / "current"
        models = [load_model(path.parent) for path in sorted(Path("bot/model/shipped").glob("*/model.json"))]
        models = (models + two_models())[:2]
        for model in models:
            registry.publish(pointer, model)
            registry.promote(pointer, model.model_id, time.time() - 9 * 86_400)
        file = folder / "ledger.sqlite"
        write_ledger(
            file, BARS, models, seed=11, end=newest_closed(time.time(), HOUR), names=("main", "steady", "newcomer")
        )
        held = open_writer(f"sqlite:///{file}")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        env = {"HOURHAND_LEDGER__URL": f"sqlite:///{file}", "HOURHAND_POLICY__MODEL": str(pointer)}
        command = [sys.executable, "-m", "bot", "serve", "--port", str(port)]
        server = subprocess.Popen(command, env=environment(PYTHONPATH=str(Path.cwd()), **env), cwd=folder)
        try:
            wait_for(f"http://127.0.0.1:{port}/")
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait(20)
            held.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("var/screenshots"))
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    with world() as url, chromium() as opened:
        shoot(opened, url, folder, "page", whole=False)
        shoot(opened, url, folder, "whole", whole=True)
        shoot(opened, f"{url}report", folder, "report", whole=True)
    print(f"look at {folder}")
