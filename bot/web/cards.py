"""Where every account stands now: the first thing on the page."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from bot.report import Change, Changes, FullSeries, changes, formatting

_DAY: Final = 86_400
_LIGHTS: Final = {
    "paused": ("paused", "paused: bars are observed, and not traded on"),
    "late": ("late", "late: a bar is overdue"),
    "running": ("fine", "decided in time"),
    "stopped": ("off", "stopped: no daemon is running"),
    "empty": ("off", "no bar yet"),
}


def light(account: Mapping[str, Any]) -> tuple[str, str]:
    """The class and the words for how an account is."""
    return _LIGHTS["paused" if account["paused"] and account["state"] != "stopped" else account["state"]]


def card(account: Mapping[str, Any], full: FullSeries, decision: Mapping[str, Any], now: float) -> str:
    """One account: value and changes beside holding and the mix, exposure, the last decision, and what comes next."""
    name, history = account["account"], full.history
    total, today = changes(full), changes(full, now // _DAY * _DAY)
    style, words = light(account)
    if account["paused"] and account["state"] == "stopped":
        words += ", and paused"
    quote = formatting.currencies(account["market"])[0]
    share = float(history.shares[-1])
    return (
        f'<article class="card" data-account="{escape(name)}" data-value="{history.value!r}" '
        f'aria-labelledby="{_id(name)}"><h3 id="{_id(name)}">{escape(name)}</h3>'
        f'<p class="soft market">{escape(account["market"])}</p>'
        f'<p class="light {style}"><span aria-hidden="true"></span>{words}</p>'
        f'<p class="value">{formatting.money(history.value)} <small>{escape(quote)}</small></p>'
        f"{_changes_table(name, total, today)}"
        f'<p class="exposure"><span class="bar" aria-hidden="true"><i style="width:{100 * share:.1f}%"></i></span>'
        f"{formatting.percent(share)} in coins</p>"
        f"{_decision(decision)}"
        f'<p class="soft due">next bar due <time class="countdown" data-due="{account["next_bar_due"]}">'
        f"{formatting.when(account['next_bar_due'])}</time></p></article>"
    )


def _changes_table(name: str, total: Changes, today: Changes) -> str:
    names = ("account", "holding", "mix")
    rows = zip(names, today, total, strict=True)
    body = "".join(
        f'<tr><th scope="row">{what}</th>{_change_cell(day)}{_change_cell(whole)}</tr>' for what, day, whole in rows
    )
    return (
        f'<table class="changes" aria-label="Changes of {escape(name)}"><thead><tr><td></td><th scope="col">today</th>'
        f'<th scope="col">in all</th></tr></thead><tbody>{body}</tbody></table>'
    )


def _change_cell(change: Change) -> str:
    return (
        f'<td class="{formatting.mood(change.money)}">{formatting.signed(change.money, 2)}'
        f"<small>{formatting.signed_percent(change.part, 2)}</small></td>"
    )


def _decision(decision: Mapping[str, Any]) -> str:
    chances = {name: decision[f"p_{name}"] for name in ("hold", "buy", "sell")}
    bars = "".join(f'<i class="{name}" style="width:{100 * part:.1f}%"></i>' for name, part in chances.items())
    words = ", ".join(f"{name} {formatting.percent(part)}" for name, part in chances.items())
    did = decision["action"] if decision["reason"] in ("policy", "minimum") else f"not traded on: {decision['reason']}"
    return (
        f'<p class="decision">{formatting.moment(decision["bar_time"])} <b>{escape(did)}</b> at '
        f"{formatting.price(decision['price'])}<span class='chances' aria-hidden='true'>{bars}</span>"
        f'<small class="soft">{words}</small></p>'
    )


def _id(name: str) -> str:
    return "account-" + "".join(letter if letter.isalnum() else f"_{ord(letter):x}" for letter in name)
