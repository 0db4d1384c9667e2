"""The page: its frame with the newest numbers, its parts, its charts' data, its files."""

from collections.abc import Mapping
from html import escape
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bot.report import formatting, thin
from bot.web import fragments
from bot.web.api import LATEST, Accounts, From, Points, To, chosen, encoded, refused_with, series_of
from bot.web.figures import Figures
from bot.web.layout import document, static_files
from bot.web.source import NotReadyError

_SCRIPTS: Final = ("lightweight-charts.js", "charts.js", "page.js")
_RANGES: Final = (("day", 86_400), ("week", 604_800), ("month", 2_592_000), ("year", 31_536_000), ("all", 0))
_CHARTS: Final = (
    ("price", "Price and trades"),
    ("exposure", "Share in coins"),
    ("equity", "Value, holding and constant mix"),
    ("drawdown", "Drawdown"),
    ("chances", "Probabilities"),
    ("costs", "Costs so far"),
)
_LISTS: Final = (("trades", "Trades"), ("decisions", "Decisions"), ("events", "Events"), ("models", "Models"))
Name = Annotated[str, Query(max_length=200, description="An account's name.")]


def page_routes(figures: Figures) -> APIRouter:
    """The page's own routes. They may change with it: scripts use the API."""
    router = APIRouter(include_in_schema=False)
    _file_routes(router)
    _part_routes(router, figures)

    @router.get("/")
    def page() -> HTMLResponse:
        try:
            return HTMLResponse(_page(figures))
        except NotReadyError as error:
            return HTMLResponse(_waiting(str(error)), 503, {"Retry-After": "5"})

    @router.get("/report")
    def report() -> Response:
        return RedirectResponse("/api/v1/report")

    @router.get("/charts")
    def charts(account: Name, points: Points = 1_200, first: From = 0, end: To = LATEST) -> Response:
        return encoded(_charts(figures, account, points, first, end))

    return router


def _file_routes(router: APIRouter) -> None:
    static = static_files()

    @router.get("/static/{name}")
    def file(name: str) -> Response:
        if name not in static:
            raise HTTPException(404, "there is no such file")
        content, kind = static[name]
        return Response(content, media_type=kind, headers={"Cache-Control": "public, max-age=3600"})


def _part_routes(router: APIRouter, figures: Figures) -> None:
    @router.get("/parts/now")
    def now() -> HTMLResponse:
        return HTMLResponse(fragments.now(figures))

    @router.get("/parts/compare")
    def compare(accounts: Accounts = "") -> HTMLResponse:
        return HTMLResponse(fragments.comparison(figures, chosen(accounts)))

    @router.get("/parts/{part}")
    def part(part: str, account: Name = "") -> HTMLResponse:
        if part not in fragments.BY_NAME:
            raise HTTPException(404, "there is no such part")
        with refused_with(404):
            return HTMLResponse(fragments.BY_NAME[part](figures, account))


def _charts(figures: Figures, account: str, points: int, first: int, end: int) -> dict[str, Any]:
    """The charts' data as columns: a list for each, all of one length."""
    full = series_of(figures, account)
    s, terms, times = thin(full, points, first, end), full.history.terms, full.history.bar_times
    quote, base = formatting.currencies(terms.market)
    inside = int(np.count_nonzero((times >= first) & (times < end)))
    return {
        "account": account,
        "quote": quote,
        "base": base,
        "bar": terms.bar,
        "bars": inside,
        "first": int(times[0]),
        "last": int(times[-1]),
        "times": s.bar_times.tolist(),
        **dict(zip(("open", "high", "low", "close"), s.candles.T.tolist(), strict=True)),
        **dict(zip(("hold", "buy", "sell"), s.probabilities.round(4).T.tolist(), strict=True)),
        "value": s.values.tolist(),
        "holding": s.holds.tolist(),
        "mix": s.mixed.round(4).tolist(),
        "exposure": s.exposure.round(4).tolist(),
        "drawdown": s.drawdown.round(5).tolist(),
        "holding_drawdown": s.hold_drawdown.round(5).tolist(),
        "costs": s.costs.round(4).tolist(),
        "bought": s.bought.round(2).tolist(),
        "sold": s.sold.round(2).tolist(),
        "untraded": s.untraded.tolist(),
        "in_sample": np.flatnonzero(s.in_sample).tolist(),
        "swapped": np.flatnonzero(s.swapped).tolist(),
    }


def _page(figures: Figures) -> str:
    names = figures.names()
    accounts = {account["account"]: account for account in figures.accounts()}
    if not names or all(account["bar_time"] is None for account in accounts.values()):
        return _waiting("no bar has been decided yet: `hourhand run` decides them", problem=False)
    main = names[0]
    practice = any(account["practice"] for account in accounts.values())
    speed = figures.clock.speed
    body = (
        _top(accounts[main]["market"], practice=practice)
        + '<main><section aria-labelledby="h-now"><h2 id="h-now" class="hidden">Accounts now</h2>'
        + f'<div id="now" class="cards">{fragments.now(figures)}</div></section>'
        + _controls(names, figures)
        + "".join(_figure(*chart) for chart in _CHARTS)
        + "</section>"
        + "".join(_list(figures, main, *one) for one in _LISTS)
        + _side_by_side(names, accounts)
        + '<section aria-labelledby="h-system"><h2 id="h-system">Settings and proof</h2><div data-part="system">'
        + f"{fragments.system(figures, main)}</div></section></main>"
        + _footer()
        + _dialog()
    )
    clock = f'data-now="{figures.clock.now()}" data-speed="{speed}" data-main="{escape(main)}"'
    return document(f"{main} - hourhand", body, scripts=_SCRIPTS, attributes=clock)


def _waiting(sentence: str, *, problem: bool = True) -> str:
    what = "The ledger cannot be read now" if problem else "Nothing to show yet"
    body = (
        '<header class="top"><h1>hourhand</h1><p id="connection" role="status">connecting</p></header>'
        f'<main><section class="waiting"><h2>{what}</h2><p id="waiting">{escape(sentence)}</p>'
        "<p class='soft'>This page continues by itself as soon as it can.</p></section></main>"
    )
    return document("hourhand", body, scripts=("page.js",), attributes='data-waiting=""')


def _top(market: str, *, practice: bool) -> str:
    badge = '<p class="badge">practice: a simulated clock</p>' if practice else ""
    return (
        f'<header class="top"><h1>hourhand</h1><p class="soft">{escape(market)}</p>{badge}'
        '<p id="connection" role="status">connecting</p>'
        '<button type="button" id="zone" aria-pressed="false">times in UTC</button></header>'
    )


def _controls(names: list[str], figures: Figures) -> str:
    options = "".join(f'<option value="{escape(name)}">{escape(name)}</option>' for name in names)
    times = figures.source.series(names[0]).history.bar_times
    chosen_range = "month" if times[-1] - times[0] > _RANGES[2][1] else "all"
    ranges = "".join(
        f'<button type="button" data-range="{seconds}" aria-pressed="{str(name == chosen_range).lower()}">'
        f"{name}</button>"
        for name, seconds in _RANGES
    )
    return (
        '<section id="charts" aria-labelledby="h-charts"><h2 id="h-charts" class="hidden">Charts</h2>'
        f'<div class="controls"><label>Account <select id="account">{options}</select></label>'
        f'<div role="group" aria-label="Range">{ranges}</div>'
        '<button type="button" id="log" aria-pressed="false">logarithmic</button>'
        '<span class="actions"><button type="button" id="pause">Pause</button></span>'
        "<p class='soft hint'>Drag to move, pinch or Ctrl and wheel to zoom, or use the arrow keys, + and -.</p></div>"
        '<ul class="marks" aria-label="Marks"><li class="buy">bought, larger means more</li>'
        '<li class="sell">sold</li><li class="swap">new model</li><li class="missed">hours not traded on</li>'
        '<li class="sample">hours the model had learned from</li></ul>'
    )


def _figure(name: str, title: str) -> str:
    return (
        f'<figure class="live" data-chart="{name}"><figcaption><h3>{title}</h3>'
        f'<p class="legend" id="legend-{name}"></p></figcaption>'
        f'<div class="canvas" role="img" tabindex="0" aria-label="{title}"></div></figure>'
    )


def _list(figures: Figures, account: str, name: str, title: str) -> str:
    return (
        f'<section aria-labelledby="h-{name}"><h2 id="h-{name}">{title}</h2><div data-part="{name}">'
        f"{fragments.BY_NAME[name](figures, account)}</div></section>"
    )


def _side_by_side(names: list[str], accounts: Mapping[str, Mapping[str, Any]]) -> str:
    market = accounts[names[0]]["market"]
    boxes = "".join(
        f'<label><input type="checkbox" name="compare" value="{escape(name)}"'
        f"{' checked' if _joins(accounts, name, names[0], market) else ''}> {escape(name)}</label>"
        for name in names
    )
    return (
        '<section aria-labelledby="h-compare"><h2 id="h-compare">Side by side</h2>'
        f'<fieldset class="choose"><legend class="hidden">Accounts to compare</legend>{boxes}</fieldset>'
        '<div data-part="compare" aria-live="polite"><p class="soft">working it out …</p></div></section>'
    )


def _joins(accounts: Mapping[str, Mapping[str, Any]], name: str, main: str, market: str) -> bool:
    """Whether an account is compared at first: one that lived only shortly would cut the span of all."""
    return bool(accounts[name]["market"] == market and 2 * accounts[name]["bars"] >= accounts[main]["bars"])


def _footer() -> str:
    return (
        '<footer class="soft"><p><a href="/report">The report on one sheet</a>, '
        '<a href="/api/v1/docs">the API</a>.</p><p>Paper trading: no order is ever sent. Charts by '
        '<a href="https://www.tradingview.com/" rel="noreferrer">TradingView</a> lightweight-charts.</p></footer>'
    )


def _dialog() -> str:
    return (
        '<dialog id="ask" aria-labelledby="ask-what"><form method="dialog"><h2 id="ask-what"></h2>'
        '<label>Token <input type="password" id="token" autocomplete="off" required></label>'
        "<p class='soft'>The token of HOURHAND_SERVE__TOKEN. It is kept until this page is left.</p>"
        '<p id="ask-problem" class="bad" role="alert"></p><div><button type="submit" value="ok">Go on</button>'
        '<button type="button" id="ask-cancel">Cancel</button></div></form></dialog>'
    )
