"""Numbers, times and tables as the page shows them."""

from collections.abc import Iterable, Sequence
from html import escape

from bot.clock import utc
from bot.model import Array


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def table(head: Sequence[str], rows: Iterable[Sequence[str]], style: str = "") -> str:
    """A table in HTML that scrolls sideways where it has to."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell if isinstance(cell, Html) else escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table class="{style}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def when(seconds: float) -> str:
    """A time to the minute, UTC."""
    return utc(seconds)[:16].replace("T", " ")


def mood(number: float) -> str:
    """The class that colours a gain or a loss."""
    return "good" if number > 0 else "bad" if number < 0 else ""


def money(number: float) -> str:
    """An amount to the cent."""
    return f"{number:,.2f}"


def signed(number: float | None, decimals: int) -> str:
    """A number with its sign, a dash for None."""
    return "-" if number is None else f"{number:+,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def percent(part: float) -> str:
    """A part of 1 in percent."""
    return f"{100 * part:.1f} %"


def coloured(part: float | None) -> str:
    """A gain or loss, as a part of 1, in percent and in colour."""
    return "-" if part is None else Html(f'<span class="{mood(part)}">{signed(100 * part, 1)} %</span>')


def change(values: Array) -> str:
    """Last over first, less 1, in percent."""
    return "-" if values[0] <= 0 else f"{signed(100 * (values[-1] / values[0] - 1), 1)} %"


def ahead(values: Array, others: Array) -> str:
    """The last of one over the last of the other, less 1, in percent."""
    return "-" if others[-1] <= 0 else f"{signed(100 * (values[-1] / others[-1] - 1), 1)} %"


def plain(number: float) -> str:
    """A number of an axis."""
    return f"{number:,g}"


def percents(number: float) -> str:
    """A number of an axis in percent."""
    return f"{number:,g} %"


def short(number: float) -> str:
    """A number of an axis, thousands as k."""
    return f"{number / 1000:,g}k" if abs(number) >= 1000 else f"{number:,g}"
