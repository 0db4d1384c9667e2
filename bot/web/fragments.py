"""Parts of the page, made here and put in place by its script: one definition of how a number looks."""

import platform
import sys
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Final

import msgspec
import numpy as np

from bot import __version__
from bot.errors import UsageError
from bot.ledger import pages, parse_url
from bot.redact import MASK, redact, redact_values
from bot.report import Html, comparison_table, formatting, small_trades
from bot.web.api import fill_rows
from bot.web.cards import card
from bot.web.figures import Figures

ROWS: Final = 50
_SECRETS: Final = (("serve", "token"), ("notify", "urls"), ("notify", "ping_url"))


def now(figures: Figures) -> str:
    """A card for each account."""
    parts = []
    for account in figures.accounts():
        if account["bar_time"] is not None:
            full = figures.source.series(account["account"])
            with figures.source.reading() as connection:
                newest = pages.page_of_decisions(connection, account["account"], _newest(1))
            parts.append(card(account, full, newest[0], figures.clock.now()))
    return "".join(parts) or "<p class='soft'>No account has decided a bar yet.</p>"


def trade_rows(figures: Figures, account: str) -> str:
    """The account's newest trades."""
    full = figures.source.series(account)
    rows = [
        [
            formatting.moment(row["bar_time"]),
            Html(f'<span class="{row["side"]}-word">{row["side"]}</span>'),
            formatting.price(row["price"]),
            formatting.amount(row["amount"]),
            formatting.money(row["cost"]),
            formatting.percent(row["share"]),
            formatting.money(row["commission"]),
            formatting.coloured_money(row["profit"]),
        ]
        for row in fill_rows(full, _newest(ROWS))
    ]
    fills = full.history.fills
    small = small_trades(fills)
    note = f"The newest {len(rows)} of {len(fills):,}" if len(fills) > len(rows) else f"{len(fills):,} trades"
    note += f", {small:,} of them below ten. " if small else ". "
    note += "Profit is of a sale, against the average price of the coins sold, after commission."
    head = ("bar", "side", "price", "coins", "moved", "of the value", "commission", "profit")
    return f"<p class='soft'>{note}</p>{formatting.table(head, rows, 'left2', f'Trades of {account}')}"


def decision_rows(figures: Figures, account: str) -> str:
    """The account's newest decisions."""
    with figures.source.reading() as connection:
        found = pages.page_of_decisions(connection, account, _newest(ROWS))
    rows = [
        [
            formatting.moment(row["bar_time"]),
            row["action"],
            row["reason"],
            *(formatting.percent(row[name]) for name in ("p_hold", "p_buy", "p_sell")),
            formatting.price(row["price"]),
            formatting.money(row["value"]),
            formatting.coloured_money(row["value"] - row["hold_value"]),
            row["model_id"],
        ]
        for row in found
    ]
    head = ("bar", "action", "reason", "hold", "buy", "sell", "price", "value", "over holding", "model")
    return formatting.table(head, rows, "left3", f"Decisions of {account}")


def event_rows(figures: Figures, _account: str) -> str:
    """The newest events."""
    with figures.source.reading() as connection:
        found = pages.page_of_events(connection, None, _newest(ROWS))
    rows = [
        [formatting.moment(row["at"]), row["kind"].replace("_", " "), formatting.event_words(row["detail"])]
        for row in found
    ]
    return formatting.table(("at", "event", "what"), rows, "words", "Events")


def model_rows(figures: Figures, _account: str) -> str:
    """The registry, with what can be done to it."""
    rows = []
    for row in figures.models()["models"]:
        name = row["model_id"]
        since = formatting.moment(row["since"]) if row["since"] else ""
        button: str = (
            ""
            if row["role"] == "current" or row["problem"]
            else Html(
                f'<button type="button" data-do="models/{name}/promote" data-what="Promote {name}">'
                f'Promote<span class="hidden"> {name}</span></button>'
            )
        )
        rows.append([name, row["role"], since, row["trained"] or "", row["problem"] or "", button])
    head = ("model", "role", "since", "trained by", "problem", "change")
    back = '<button type="button" data-do="models/rollback" data-what="Roll back">Roll back to the one before</button>'
    return formatting.table(head, rows, "words", "Models") + f"<p>{back}</p>"


def comparison(figures: Figures, names: list[str]) -> str:
    """The accounts side by side, over the hours that they share."""
    try:
        found = figures.compare(names)
    except UsageError as error:
        return f"<p class='soft'>{escape(str(error))}.</p>"
    return comparison_table(found)


def system(figures: Figures, _account: str) -> str:
    """The settings in force without secrets, versions, and the newest links of the chains."""
    tables: dict[str, Any] = msgspec.to_builtins(figures.settings)
    for section, key in _SECRETS:
        tables[section][key] = MASK if tables[section][key] else ""
    rows = [
        [f"{section}.{key}".rstrip("."), _setting(value)]
        for section, table in redact_values(tables).items()
        for key, value in (table.items() if isinstance(table, dict) else [("", table)] if table else [])
    ]
    links = [[row["account"], row["chain"] or ""] for row in figures.accounts()]
    database = parse_url(figures.settings.ledger.url).get_backend_name()
    versions = [
        ["hourhand", __version__],
        ["Python", platform.python_version()],
        ["numpy", np.__version__],
        ["ledger", f"{database}, {redact(figures.settings.ledger.url)}"],
        ["system", f"{sys.platform}, {platform.machine()}"],
    ]
    return (
        "<h3>Newest links of the chains</h3><p class='soft'>Keep one elsewhere: "
        "<code>hourhand verify --holds LINK</code> finds out if bars are erased.</p>"
        + formatting.table(("account", "link"), links, "words chain", "Newest links")
        + "<h3>Versions</h3>"
        + formatting.table(("what", "version"), versions, "words", "Versions")
        + "<h3>Settings in force</h3>"
        + formatting.table(("setting", "value"), rows, "words", "Settings")
    )


BY_NAME: Final[Mapping[str, Callable[[Figures, str], str]]] = {
    "trades": trade_rows,
    "decisions": decision_rows,
    "events": event_rows,
    "models": model_rows,
    "system": system,
}


def _newest(limit: int) -> pages.Span:
    return pages.Span(float("-inf"), float("inf"), limit, newest_first=True)


def _setting(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
