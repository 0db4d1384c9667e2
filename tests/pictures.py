"""The pictures of the documents, made from the real thing: `make pictures`. Needs chromium for the report."""

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bot.simulator import generate_candles
from tests.harness import environment

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1280, 760
FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)  # rich's template asks another server for them
YEAR_2024 = 1_704_067_200  # after every candle that the shipped model learned from


def hourhand(*arguments: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=ROOT, env=environment(PYTHONPATH=str(ROOT), **env), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def draw_demo(output: str) -> None:
    """The demo's own output in its own colours; of the commands in it only `verify` is shown."""
    lines = output.strip("\n").split("\n")
    plain = [Text.from_ansi(line).plain for line in lines]
    status = next(i for i, line in enumerate(plain) if line.startswith("$ hourhand status"))
    chart = next(i for i, line in enumerate(plain) if "value of the account" in line)
    verify = next(i for i, line in enumerate(plain) if line.startswith("$ hourhand verify"))
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True, highlight=False)
    for line in [*lines[:status], *lines[verify:]]:
        console.print(Text.from_ansi(line))
    assert chart > status
    svg = console.export_svg(title="hourhand demo")
    (IMAGES / "demo.svg").write_text(FONTS.sub("", svg))


def draw_report(page: Path) -> None:
    """The head of the report, in light and in dark."""
    from PIL import Image  # noqa: PLC0415 - for this alone
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            view = browser.new_page(color_scheme=scheme, viewport={"width": WIDTH, "height": HEIGHT})
            view.goto(page.as_uri())
            image = Image.open(io.BytesIO(view.screenshot()))
            image.quantize(64, dither=Image.Dither.NONE).save(IMAGES / f"report-{scheme}.png", optimize=True)
        browser.close()


def main() -> None:
    """Perform the demo once and draw it; replay half a year of generated candles and draw the report of that."""
    IMAGES.mkdir(exist_ok=True)
    draw_demo(hourhand("demo", FORCE_COLOR="1"))
    with tempfile.TemporaryDirectory() as folder:
        candles, report = Path(folder) / "candles.csv", Path(folder) / "report.html"
        rows = [one[:6] for one in generate_candles(4900, seed=11, start=YEAR_2024, price=42_000.0)]
        candles.write_text("t,o,h,l,c,v\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
        ledger = f"sqlite:///{folder}/ledger.sqlite"
        hourhand("replay", "--candles", str(candles), "--warmup", "500", "--ledger", ledger)
        hourhand("report", "--out", str(report), HOURHAND_LEDGER__URL=ledger)
        draw_report(report)


if __name__ == "__main__":
    main()
