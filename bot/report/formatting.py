"""Numbers, times and tables as every page shows them."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from bot.clock import utc
from bot.model import Array

_TIMES = frozenset({"bar_time", "stored", "fetched"})  # of an event, where they are numbers
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def table(head: Sequence[str], rows: Iterable[Sequence[str]], style: str = "", name: str = "table") -> str:
    """A table in HTML, called `name` for those who cannot see it. Narrow screens show each row as a card."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(map(_cell, head, row))}</tr>" for row in rows)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}"><table class="{style}">'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(head: str, cell: str) -> str:
    text = cell if isinstance(cell, Html) else escape(cell)
    return f'<td data-h="{escape(head)}">{text}</td>'


def when(seconds: float) -> str:
    """A time to the minute, UTC, with its day."""
    return utc(seconds)[:16].replace("T", " ")


def moment(seconds: float) -> Html:
    """The same as HTML, which the live page can show in its reader's time zone."""
    return Html(f'<time datetime="{utc(seconds)}">{when(seconds)}</time>')


def event_words(detail: Mapping[str, Any]) -> str:
    """An event's detail in words."""
    return ", ".join(
        f"{name.replace('_', ' ')} {when(value) if name in _TIMES and isinstance(value, int) else value}"
        for name, value in detail.items()
    )


def currencies(market: str) -> tuple[str, str]:
    """Quote and base currency of a market's name: exchange, symbol (which may have a colon itself) and timeframe."""
    symbol = market.partition(":")[2].rpartition(":")[0]
    base, _, quote = symbol.partition(":")[0].partition("/")
    return quote or "quote currency", base


def mood(number: float) -> str:
    """The class that colours a gain or a loss."""
    return "good" if number > 0 else "bad" if number < 0 else ""


def money(number: float) -> str:
    """An amount to the cent."""
    return f"{number:,.2f}".replace("-", "\N{MINUS SIGN}")


def price(number: float) -> str:
    """A price: to the cent from ten on, to six digits below."""
    return money(number) if abs(number) >= 10 or number == 0 else f"{number:,.6g}"


def amount(number: float) -> str:
    """Coins, to eight decimals."""
    return f"{number:,.8f}".rstrip("0").rstrip(".")


def signed(number: float | None, decimals: int) -> str:
    """A number with its sign, a dash for None."""
    return "-" if number is None else f"{number:+,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def ratio(number: float | None) -> str:
    """A number to two decimals, a dash for None."""
    return "-" if number is None else f"{number:,.2f}".replace("-", "\N{MINUS SIGN}")


def percent(part: float) -> str:
    """A part of 1 in percent."""
    return f"{100 * part:.1f} %"


def signed_percent(part: float | None, decimals: int = 1) -> str:
    """A gain or loss, as a part of 1, in percent with its sign."""
    return "-" if part is None else f"{signed(100 * part, decimals)} %"


def coloured(part: float | None) -> str:
    """A gain or loss, as a part of 1, in percent and in colour."""
    return "-" if part is None else Html(f'<span class="{mood(part)}">{signed_percent(part)}</span>')


def coloured_money(number: float | None) -> str:
    """A gain or loss in quote currency and in colour."""
    return "-" if number is None else Html(f'<span class="{mood(number)}">{signed(number, 2)}</span>')


def change(values: Array) -> str:
    """Last over first, less 1, in percent."""
    return "-" if values[0] <= 0 else signed_percent(float(values[-1] / values[0] - 1))


def ahead(values: Array, others: Array) -> str:
    """The last of one over the last of the other, less 1, in percent."""
    return "-" if others[-1] <= 0 else signed_percent(float(values[-1] / others[-1] - 1))


def plain(number: float) -> str:
    """A number of an axis."""
    return f"{number:,.10g}"


def percents(number: float) -> str:
    """A number of an axis in percent."""
    return f"{number:,.10g} %"


def short(number: float) -> str:
    """A number of an axis, with k, M, B or T for thousands, millions and so on."""
    for size, unit in _UNITS:
        if abs(number) >= size:
            return f"{number / size:,.6g}{unit}" if abs(number) < 1e15 else f"{number:.1e}"
    return f"{number:,.6g}"
