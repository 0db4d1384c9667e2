"""The frame of every page that the server makes."""

from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Ccircle cx='16' cy='16' r='14' fill='%231f5fd0'/%3E%3Cpath d='M16 16V6M16 16l6 5' "
    "stroke='%23fff' stroke-width='3' stroke-linecap='round'/%3E%3C/svg%3E"
)


def document(title: str, body: str, *, scripts: tuple[str, ...] = (), attributes: str = "") -> str:
    """A whole page; `scripts` are names of the page's own files, run after it is read."""
    tags = "".join(f'<script defer src="/static/{name}"></script>' for name in scripts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<title>{escape(title)}</title><link rel="icon" href="{_ICON}">'
        '<link rel="stylesheet" href="/static/report.css"><link rel="stylesheet" href="/static/page.css">'
        f"{tags}</head><body {attributes}>{body}</body></html>\n"
    )


def static_files() -> dict[str, tuple[bytes, str]]:
    """The files under /static and their types. The charts' library comes from the package that ships it.

    Raises FileNotFoundError or ModuleNotFoundError where one is missing.
    """
    own = files("bot.web").joinpath("static")
    script, style = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
    return {
        "page.js": (own.joinpath("page.js").read_bytes(), script),
        "charts.js": (own.joinpath("charts.js").read_bytes(), script),
        "page.css": (own.joinpath("page.css").read_bytes(), style),
        "report.css": (files("bot.report").joinpath("page.css").read_bytes(), style),
        "lightweight-charts.js": (chart_library(), script),
    }


def chart_library() -> bytes:
    """TradingView's lightweight-charts (Apache License 2.0), as the package `litecharts` ships it.

    Raises ModuleNotFoundError where that is not installed.
    """
    package = find_spec("litecharts")  # found, not imported: only its file is wanted
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'litecharts'")
    return Path(package.origin).with_name("js").joinpath("lightweight-charts.js").read_bytes()
