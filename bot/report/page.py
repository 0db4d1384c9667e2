"""The page: charts, figures, months and events of accounts as one HTML file that needs nothing else."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final, NamedTuple

import numpy as np

from bot.clock import utc
from bot.report.charts import Dots, Line, Marks, Panel, chart, means
from bot.report.courses import Course, drawdowns, exposure, figures, mix, months, swaps
from bot.trader import MINIMUM, POLICY

_COLOURS: Final = 8
_EVENTS_SHOWN: Final = 40
_TOLD: Final = (
    "model_swapped",
    "model_rejected",
    "gap",
    "revision",
    "suspect",
    "clock_skew",
    "stale_feed",
    "exchange_error",
)
_DEFINITIONS: Final = {
    "Value": "balance plus coins at the close of the bar, after its action; the first point of a chart is before it.",
    "Holding": "the initial balance and coins, never touched, at the same closes.",
    "Constant mix": "starts with the same value and is brought back every hour, free of cost, to the account's own "
    "mean share in coins. Only what beats it is timing; what merely beats holding may be luck with the share held.",
    "Return": "last value over first, less 1, over the span shown; not annualised. Ahead of holding, or of the mix: "
    "the account's value over theirs, less 1, both from the same start.",
    "Log return": "the natural logarithm of last value over first; over hold and over mix are differences of two such.",
    "Drawdown": "how far a value lies below the highest before it, as a part of that.",
    "Share in coins": "coins at the close, as a part of the value, after the action; exposure is its mean.",
    "Turnover": "value bought and sold as a multiple of the account's value, summed over the bars.",
    "Commission, slippage": "what the trades paid to the exchange, and how much worse than the bar's close their fills "
    "were (negative: better), in quote currency.",
    "Probabilities": "what the policy gave to hold, buy and sell, means of short stretches of time.",
    "Not traded on": "hours that the exchange did not have (synthetic), or that came too late (missed, clock): the "
    "policy sees them, the account does nothing.",
}


class Event(NamedTuple):
    """A row of `events`."""

    at: float
    kind: str
    detail: str


def page(courses: Sequence[Course], common: Sequence[Course], events: Sequence[Event]) -> str:
    """The page for accounts, the main one first. `common` is the same accounts over the hours that all decided; it is
    shown where there are several.
    """
    main = courses[0]
    exchange, symbol, bar = main.terms.market.split(":")
    title = f"{main.terms.name} on {symbol}"
    several = len(courses) > 1
    span = f"{_when(main.bar_times[0])} to {_when(main.bar_times[-1])} UTC, {len(main.bar_times):,} bars"
    about = f"Paper trading by hourhand on {exchange}, bars of {bar}, {span}. Amounts in {_units(main)[0]}."
    parts = [f'<header><h1>{escape(title)}</h1><p class="soft">{escape(about)}</p></header>']
    if several:
        parts.append(_beside(common))
    for place, one in enumerate(courses):
        body = _account(one)
        head = f"Account {escape(one.terms.name)}"
        opened = " open" if place == 0 else ""
        parts.append(f"<details{opened}><summary>{head}</summary>{body}</details>" if several else body)
    parts += [_events(events), "<h2>How the figures are defined</h2><dl>"]
    parts += [f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in _DEFINITIONS.items()]
    style = files("bot.report").joinpath("page.css").read_text()
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>{''.join(parts)}</dl></body></html>\n"
    )


def _units(one: Course) -> tuple[str, str]:
    """Quote and base currency."""
    base, _, quote = one.terms.market.split(":")[1].partition("/")
    return quote or "quote currency", base


def _beside(common: Sequence[Course]) -> str:
    lines = [
        Line(one.terms.name, 100 * one.values / max(one.values[0], 1e-300), _style(place))
        for place, one in enumerate(common)
    ]
    hold = Line("holding", 100 * common[0].holds / max(common[0].holds[0], 1e-300), "hold dashed")
    drawn = chart(
        "Accounts side by side",
        "Value, 100 at the first hour that all of them decided",
        common[0].bar_times,
        [Panel([*lines, hold], _plain, height=320)],
        Marks(),
    )
    rows = []
    for one in common:
        f = figures(one)
        returns = [_signed(f[name], 4) for name in ("log_return", "excess_log_return", "timing_log_return")]
        shares = [_percent(f[name]) for name in ("max_drawdown", "exposure")]
        rest = [f"{f['trades']:,}", f"{f['turnover']:,.1f}", _money(f["commission"]), _money(f["value"])]
        rows.append([f["account"], *returns, *shares, *rest, f["models"][-1]])
    f = figures(common[0])
    rows.append(["holding", _signed(f["hold_log_return"], 4), "", "", _percent(f["hold_max_drawdown"]), *[""] * 6])
    head = ("account", "log return", "over hold", "over mix", "drawdown", "exposure", "trades", "turnover")
    return f"<section>{drawn}{_table((*head, 'commission', 'value', 'newest model'), rows)}</section>"


def _style(place: int) -> str:
    if place == 0:
        return "mine"
    return f"c{(place - 1) % _COLOURS + 1}" + (" dashed" if place > _COLOURS else "")


def _account(one: Course) -> str:
    return f"<section>{_tiles(one)}{_charts(one)}{_months(one)}{_models(one)}</section>"


def _tiles(one: Course) -> str:
    f = figures(one)
    mixed = mix(one)
    tiles = [
        ("Value", _money(f["value"]), f"holding {_money(f['hold_value'])}", ""),
        ("Excess over holding", _signed(f["excess"], 2), _ahead(one.values, one.holds), _mood(f["excess"])),
        (
            "Over the constant mix",
            _signed(f["value"] - mixed[-1], 2),
            _ahead(one.values, mixed),
            _mood(f["value"] - mixed[-1]),
        ),
        ("Return", _change(one.values), f"holding {_change(one.holds)}", ""),
        ("Deepest drawdown", _percent(f["max_drawdown"]), f"holding {_percent(f['hold_max_drawdown'])}", ""),
        ("Mean share in coins", _percent(f["exposure"]), f"now {_percent(float(one.shares[-1]))}", ""),
        ("Trades", f"{f['trades']:,}", f"turnover {f['turnover']:,.1f} times", ""),
        ("Commission", _money(f["commission"]), f"slippage {_money(f['slippage'])}", ""),
    ]
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><span>{name}</span><b class="{mood}">{big}</b><small>{small}</small></div>'
            for name, big, small, mood in tiles
        )
        + "</div>"
    )


def _charts(one: Course) -> str:
    quote, base = _units(one)
    untraded = [n for n, reason in enumerate(one.reasons) if reason not in (POLICY, MINIMUM)]
    marks = Marks(swaps(one), untraded)
    mixed, where = mix(one), {int(time): n for n, time in enumerate(one.bar_times)}
    sides = {side: [where[t] for t, fill in one.fills.items() if fill.side == side] for side in ("buy", "sell")}
    dots = [
        Dots(f"{side} ({len(at):,})", at, one.closes[at].tolist(), side, above=side == "sell")
        for side, at in sides.items()
    ]
    hold, buy, sell = (100 * means(column) for column in one.probabilities.T)

    def drawn(title: str, note: str, *panels: Panel) -> str:
        return chart(title, note, one.bar_times, panels, marks)

    values = [Line("account", one.values, "mine"), Line("holding", one.holds, "hold")]
    mixes = Line(f"constant mix of {_percent(exposure(one))} in coins", mixed, "mix")
    charts = [
        drawn("Value", f"In {quote}", Panel([*values, mixes], _short, height=300)),
        drawn(
            "Ahead of holding and of the constant mix",
            "The account's value over theirs, less 1; below zero it is behind",
            Panel(
                [
                    Line("against holding", 100 * (one.values / np.maximum(one.holds, 1e-300) - 1), "hold"),
                    Line("against the constant mix", 100 * (one.values / np.maximum(mixed, 1e-300) - 1), "mix"),
                ],
                _percents,
                bounds=(0.0,),
            ),
        ),
        drawn(
            "Price, trades and share in coins",
            f"{quote} per {base}, buys below the line and sells above it; then the part of the value that is in {base}",
            Panel([Line("price", one.closes, "price")], _short, dots, height=260),
            Panel([Line("share in coins", 100 * one.shares, "mine")], _percents, bounds=(0.0, 100.0), height=150),
        ),
        drawn(
            "Drawdown",
            "Below the highest value so far",
            Panel(
                [
                    Line("account", -100 * drawdowns(one.values), "mine"),
                    Line("holding", -100 * drawdowns(one.holds), "hold"),
                ],
                _percents,
                bounds=(0.0,),
            ),
        ),
        drawn(
            "What the policy wanted",
            "Probabilities, means of short stretches of time: hold above, buy and sell below",
            Panel([Line("hold", hold, "price")], _percents, bounds=(100.0,), height=120),
            Panel([Line("buy", buy, "buy"), Line("sell", sell, "sell")], _percents, bounds=(0.0,), height=170),
        ),
        drawn(
            "Costs so far",
            f"In {quote}",
            Panel(
                [
                    Line("commission", one.commissions.cumsum(), "sell"),
                    *([Line("slippage", one.slippages.cumsum(), "mix")] if one.slippages.any() else []),
                ],
                _short,
                bounds=(0.0,),
                height=150,
            ),
        ),
    ]
    return "".join(charts)


def _months(one: Course) -> str:
    rows = []
    for row in months(one):
        ahead = None if None in (row["value"], row["hold"]) else row["value"] - row["hold"]
        returns = [_coloured(row["value"]), _coloured(row["hold"]), _coloured(row["mix"]), _coloured(ahead)]
        shares = [_percent(row["max_drawdown"]), _percent(row["exposure"])]
        rows.append(
            [row["month"], f"{row['bars']:,}", *returns, *shares, f"{row['trades']:,}", _money(row["commission"])]
        )
    head = (
        "month",
        "bars",
        "account",
        "holding",
        "mix",
        "over holding",
        "drawdown",
        "in coins",
        "trades",
        "commission",
    )
    return f"<h3>Months</h3>{_table(head, rows)}"


def _models(one: Course) -> str:
    begins = [0, *swaps(one)]
    rows = []
    for start, end in zip(begins, [*begins[1:], len(one.models)], strict=True):
        returns = [_change(values[max(start - 1, 0) : end]) for values in (one.values, one.holds)]
        rows.append([one.models[start], _when(one.bar_times[start]), f"{end - start:,}", *returns])
    shown = rows[-_EVENTS_SHOWN:]
    head = "Models" if len(shown) == len(rows) else f"Models: the newest {len(shown)} of {len(rows)} stretches"
    return f"<h3>{head}</h3>{_table(('model', 'from', 'bars', 'account', 'holding'), shown)}"


def _events(events: Sequence[Event]) -> str:
    counts = Counter(event.kind for event in events)
    told = [event for event in events if event.kind in _TOLD]
    summary = ", ".join(f"{kind} {number:,}" for kind, number in sorted(counts.items())) or "none"
    rows = [[_when(event.at), event.kind, _words(event.detail)] for event in reversed(told[-_EVENTS_SHOWN:])]
    table = _table(("at", "event", "what"), rows, "words") if rows else ""
    more = f" The newest {len(rows)} of those that matter:" if rows else ""
    return f"<h2>Events</h2><p class='soft'>All in the ledger: {escape(summary)}.{more}</p>{table}"


def _words(detail: str) -> str:
    told: dict[str, Any] = json.loads(detail)
    return ", ".join(
        f"{name.replace('_', ' ')} {_when(value) if name == 'bar_time' else value}" for name, value in told.items()
    )


class _Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], style: str = "") -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell if isinstance(cell, _Html) else escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table class="{style}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _when(seconds: float) -> str:
    return utc(seconds)[:16].replace("T", " ")


def _coloured(part: float | None) -> str:
    return "-" if part is None else _Html(f'<span class="{_mood(part)}">{_signed(100 * part, 1)} %</span>')


def _mood(number: float) -> str:
    return "good" if number > 0 else "bad" if number < 0 else ""


def _money(number: float) -> str:
    return f"{number:,.2f}"


def _signed(number: float | None, decimals: int) -> str:
    return "-" if number is None else f"{number:+,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"


def _change(values: Any) -> str:
    return "-" if values[0] <= 0 else f"{_signed(100 * (values[-1] / values[0] - 1), 1)} %"


def _ahead(values: Any, others: Any) -> str:
    return "-" if others[-1] <= 0 else f"{_signed(100 * (values[-1] / others[-1] - 1), 1)} %"


def _plain(number: float) -> str:
    return f"{number:,g}"


def _percents(number: float) -> str:
    return f"{number:,g} %"


def _short(number: float) -> str:
    return f"{number / 1000:,g}k" if abs(number) >= 1000 else f"{number:,g}"
