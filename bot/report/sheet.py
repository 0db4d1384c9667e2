"""The frame of a page that needs nothing else: one file, one style, light and dark."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import NamedTuple

from bot.model import in_sample_warning


class Tile(NamedTuple):
    """One number that stands out: its name, itself, what it is to be held against, and the class of its colour."""

    name: str
    number: str
    beside: str
    mood: str = ""


def sheet(title: str, about: str, parts: Sequence[str]) -> str:
    """The whole page; `title` and `about`, which says what is shown, are text, `parts` are HTML."""
    style = files("bot.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><header><h1>{escape(title)}</h1>"
        f'<p class="soft">{escape(about)}</p></header><main>{"".join(parts)}</main></body></html>\n'
    )


def tiles(shown: Sequence[Tile]) -> str:
    """The tiles side by side."""
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><span>{escape(tile.name)}</span><b class="{tile.mood}">{escape(tile.number)}</b>'
            f"<small>{escape(tile.beside)}</small></div>"
            for tile in shown
        )
        + "</div>"
    )


def in_sample_note(in_sample: int, bars: int) -> str:
    """The warning that the model learned from bars that are shown, nothing where it did not."""
    warning = in_sample_warning(in_sample, bars)
    return f'<p class="bad">{escape(warning[0].upper() + warning[1:])}.</p>' if warning else ""


def definitions(terms: Mapping[str, str]) -> str:
    """What the words on the page mean."""
    rows = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in terms.items())
    return f"<h2>How the figures are defined</h2><dl>{rows}</dl>"
