"""The page: charts, figures, months and events of accounts as one HTML file that needs nothing else."""

import json
from collections import Counter
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final, NamedTuple

import numpy as np

from bot.model import in_sample_warning
from bot.report.charts import Dots, Line, Marks, Panel, chart, means, stretches
from bot.report.formatting import (
    ahead,
    change,
    coloured,
    money,
    mood,
    percent,
    percents,
    plain,
    short,
    signed,
    table,
    when,
)
from bot.report.history import AccountHistory, account_statistics, drawdowns, exposure, mix, months, swaps
from bot.trading import MINIMUM, POLICY

_COLOURS: Final = 8
_EVENTS_SHOWN: Final = 40
_SHOWN_KINDS: Final = (
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
    "In sample": "bars among the candles that the model learned from: what it did there does not show how it does on "
    "new ones.",
    "Not traded on": "hours that the exchange did not have (synthetic), or that came too late (missed, clock): the "
    "policy sees them, the account does nothing.",
}


class Event(NamedTuple):
    """A row of `events`."""

    at: float
    kind: str
    detail: str


def render_page(
    histories: Sequence[AccountHistory],
    aligned: Sequence[AccountHistory],
    events: Sequence[Event],
    left_out: Sequence[str] = (),
) -> str:
    """The page for accounts, the main one first. `aligned` is these accounts but for those `left_out` over the hours
    that they all decided; it is shown where there are several.
    """
    main = histories[0]
    exchange, symbol, bar = _market(main)
    title = f"{main.terms.name} on {symbol}"
    several = len(histories) > 1
    span = f"{when(main.bar_times[0])} to {when(main.bar_times[-1])} UTC, {len(main.bar_times):,} bars"
    about = f"Paper trading by hourhand on {exchange}, bars of {bar}, {span}. Amounts in {_units(main)[0]}."
    parts = [f'<header><h1>{escape(title)}</h1><p class="soft">{escape(about)}</p></header>']
    if len(aligned) > 1:
        parts.append(_beside(aligned))
    if left_out:
        names = ", ".join(left_out)
        parts.append(f'<p class="soft">Not side by side, for too few hours in common: {escape(names)}.</p>')
    for place, history in enumerate(histories):
        body = _account(history)
        head = f"Account {escape(history.terms.name)}"
        opened = " open" if place == 0 else ""
        parts.append(f"<details{opened}><summary>{head}</summary>{body}</details>" if several else body)
    parts += [_events(events), "<h2>How the figures are defined</h2><dl>"]
    parts += [f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in _DEFINITIONS.items()]
    return document(title, f"{''.join(parts)}</dl>")


def document(title: str, body: str) -> str:
    """A page of HTML that needs nothing else, in the style of the report. `body` is HTML, `title` is text."""
    style = files("bot.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>{body}</body></html>\n"
    )


def _units(history: AccountHistory) -> tuple[str, str]:
    """Quote and base currency."""
    base, _, quote = _market(history)[1].partition(":")[0].partition("/")
    return quote or "quote currency", base


def _market(history: AccountHistory) -> tuple[str, str, str]:
    """Exchange, symbol (which may have a colon itself) and timeframe."""
    exchange, _, rest = history.terms.market.partition(":")
    symbol, _, bar = rest.rpartition(":")
    return exchange, symbol, bar


def _beside(aligned: Sequence[AccountHistory]) -> str:
    lines = [
        Line(history.terms.name, 100 * history.values / max(history.values[0], 1e-300), _style(place))
        for place, history in enumerate(aligned)
    ]
    hold = Line("holding", 100 * aligned[0].holds / max(aligned[0].holds[0], 1e-300), "hold dashed")
    figure = chart(
        "Accounts side by side",
        "Value, 100 at the first hour that all of them decided",
        aligned[0].bar_times,
        [Panel([*lines, hold], plain, height=320)],
        Marks(in_sample=stretches(np.any([history.in_sample for history in aligned], axis=0))),
    )
    rows = []
    for history in aligned:
        f = account_statistics(history)
        returns = [signed(f[name], 4) for name in ("log_return", "excess_log_return", "timing_log_return")]
        shares = [percent(f[name]) for name in ("max_drawdown", "exposure")]
        rest = [f"{f['trades']:,}", f"{f['turnover']:,.1f}", money(f["commission"]), money(f["value"])]
        rows.append([f["account"], *returns, *shares, *rest, f"{f['in_sample_bars']:,}", f["models"][-1]])
    f = account_statistics(aligned[0])
    rows.append(["holding", signed(f["hold_log_return"], 4), "", "", percent(f["hold_max_drawdown"]), *[""] * 7])
    head = ("account", "log return", "over hold", "over mix", "drawdown", "exposure", "trades", "turnover")
    return f"<section>{figure}{table((*head, 'commission', 'value', 'bars in sample', 'newest model'), rows)}</section>"


def _style(place: int) -> str:
    if place == 0:
        return "mine"
    return f"c{(place - 1) % _COLOURS + 1}" + (" dashed" if place > _COLOURS else "")


def _account(history: AccountHistory) -> str:
    warning = in_sample_warning(int(history.in_sample.sum()), len(history.bar_times))
    note = f'<p class="bad">{escape(warning[0].upper() + warning[1:])}.</p>' if warning else ""
    return f"<section>{note}{_tiles(history)}{_charts(history)}{_months(history)}{_models(history)}</section>"


def _tiles(history: AccountHistory) -> str:
    f = account_statistics(history)
    mixed = mix(history)
    tiles = [
        ("Value", money(f["value"]), f"holding {money(f['hold_value'])}", ""),
        ("Excess over holding", signed(f["excess"], 2), ahead(history.values, history.holds), mood(f["excess"])),
        (
            "Over the constant mix",
            signed(f["value"] - mixed[-1], 2),
            ahead(history.values, mixed),
            mood(f["value"] - mixed[-1]),
        ),
        ("Return", change(history.values), f"holding {change(history.holds)}", ""),
        ("Deepest drawdown", percent(f["max_drawdown"]), f"holding {percent(f['hold_max_drawdown'])}", ""),
        ("Mean share in coins", percent(f["exposure"]), f"now {percent(float(history.shares[-1]))}", ""),
        ("Trades", f"{f['trades']:,}", f"turnover {f['turnover']:,.1f} times", ""),
        ("Commission", money(f["commission"]), f"slippage {money(f['slippage'])}", ""),
    ]
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><span>{name}</span><b class="{colour}">{big}</b><small>{small}</small></div>'
            for name, big, small, colour in tiles
        )
        + "</div>"
    )


def _charts(history: AccountHistory) -> str:
    quote, base = _units(history)
    untraded = [n for n, reason in enumerate(history.reasons) if reason not in (POLICY, MINIMUM)]
    marks = Marks(swaps(history), untraded, stretches(history.in_sample))
    mixed, where = mix(history), {int(time): n for n, time in enumerate(history.bar_times)}
    sides = {side: [where[t] for t, fill in history.fills.items() if fill.side == side] for side in ("buy", "sell")}
    dots = [
        Dots(f"{side} ({len(at):,})", at, history.closes[at].tolist(), side, above=side == "sell")
        for side, at in sides.items()
    ]
    hold, buy, sell = (100 * means(column) for column in history.probabilities.T)

    def render(title: str, note: str, *panels: Panel) -> str:
        return chart(title, note, history.bar_times, panels, marks)

    values = [Line("account", history.values, "mine"), Line("holding", history.holds, "hold")]
    mixes = Line(f"constant mix of {percent(exposure(history))} in coins", mixed, "mix")
    charts = [
        render("Value", f"In {quote}", Panel([*values, mixes], short, height=300)),
        render(
            "Ahead of holding and of the constant mix",
            "The account's value over theirs, less 1; below zero it is behind",
            Panel(
                [
                    Line("against holding", 100 * (history.values / np.maximum(history.holds, 1e-300) - 1), "hold"),
                    Line("against the constant mix", 100 * (history.values / np.maximum(mixed, 1e-300) - 1), "mix"),
                ],
                percents,
                bounds=(0.0,),
            ),
        ),
        render(
            "Price, trades and share in coins",
            f"{quote} per {base}, buys below the line and sells above it; then the part of the value that is in {base}",
            Panel([Line("price", history.closes, "price")], short, dots, height=260),
            Panel([Line("share in coins", 100 * history.shares, "mine")], percents, bounds=(0.0, 100.0), height=150),
        ),
        render(
            "Drawdown",
            "Below the highest value so far",
            Panel(
                [
                    Line("account", -100 * drawdowns(history.values), "mine"),
                    Line("holding", -100 * drawdowns(history.holds), "hold"),
                ],
                percents,
                bounds=(0.0,),
            ),
        ),
        render(
            "What the policy wanted",
            "Probabilities, means of short stretches of time: hold above, buy and sell below",
            Panel([Line("hold", hold, "price")], percents, bounds=(100.0,), height=120),
            Panel([Line("buy", buy, "buy"), Line("sell", sell, "sell")], percents, bounds=(0.0,), height=170),
        ),
        render(
            "Costs so far",
            f"In {quote}",
            Panel(
                [
                    Line("commission", history.commissions.cumsum(), "sell"),
                    *([Line("slippage", history.slippages.cumsum(), "mix")] if history.slippages.any() else []),
                ],
                short,
                bounds=(0.0,),
                height=150,
            ),
        ),
    ]
    return "".join(charts)


def _months(history: AccountHistory) -> str:
    rows = []
    for row in months(history):
        gained = None if None in (row["value"], row["hold"]) else row["value"] - row["hold"]
        returns = [coloured(row["value"]), coloured(row["hold"]), coloured(row["mix"]), coloured(gained)]
        shares = [percent(row["max_drawdown"]), percent(row["exposure"])]
        rest = [f"{row['trades']:,}", money(row["commission"]), f"{row['in_sample_bars']:,}"]
        rows.append([row["month"], f"{row['bars']:,}", *returns, *shares, *rest])
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
        "bars in sample",
    )
    return f"<h3>Months</h3>{table(head, rows)}"


def _models(history: AccountHistory) -> str:
    begins = [0, *swaps(history)]
    rows = []
    for start, end in zip(begins, [*begins[1:], len(history.models)], strict=True):
        returns = [change(values[max(start - 1, 0) : end]) for values in (history.values, history.holds)]
        bars = [f"{end - start:,}", f"{int(history.in_sample[start:end].sum()):,}"]
        rows.append([history.models[start], when(history.bar_times[start]), *bars, *returns])
    shown = rows[-_EVENTS_SHOWN:]
    head = "Models" if len(shown) == len(rows) else f"Models: the newest {len(shown)} of {len(rows)} stretches"
    return f"<h3>{head}</h3>{table(('model', 'from', 'bars', 'in sample', 'account', 'holding'), shown)}"


def _events(events: Sequence[Event]) -> str:
    counts = Counter(event.kind for event in events)
    shown = [event for event in events if event.kind in _SHOWN_KINDS]
    summary = ", ".join(f"{kind} {number:,}" for kind, number in sorted(counts.items())) or "none"
    rows = [[when(event.at), event.kind, _words(event.detail)] for event in reversed(shown[-_EVENTS_SHOWN:])]
    listed = table(("at", "event", "what"), rows, "words") if rows else ""
    more = f" The newest {len(rows)} of those that matter:" if rows else ""
    return f"<h2>Events</h2><p class='soft'>All in the ledger: {escape(summary)}.{more}</p>{listed}"


def _words(detail: str) -> str:
    values: dict[str, Any] = json.loads(detail)
    return ", ".join(
        f"{name.replace('_', ' ')} {when(value) if name == 'bar_time' else value}" for name, value in values.items()
    )
