"""Pictures of the page and the report, to look at: `make screenshots`. Needs chromium."""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

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
            page.goto(url)
            page.wait_for_load_state("load")
            if "/report" not in url and not url.startswith("file"):
                page.wait_for_function("() => document.querySelector('#connection').textContent === 'live'")
                page.wait_for_function("() => charts.data() !== null")
                page.wait_for_selector("[data-part=compare] table")
                page.wait_for_timeout(400)
            page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=whole)
            page.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8420/")
    parser.add_argument("--out", type=Path, default=Path("var/screenshots"))
    parser.add_argument("--name", default="page")
    parser.add_argument("--whole", action="store_true", help="the whole page, not just what is in sight first")
    parsed_args = parser.parse_args()
    parsed_args.out.mkdir(parents=True, exist_ok=True)
    with chromium() as one:
        shoot(one, parsed_args.url, parsed_args.out, parsed_args.name, whole=parsed_args.whole)
