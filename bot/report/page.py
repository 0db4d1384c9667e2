"""The page: charts, figures, months and events of accounts as one HTML file that needs nothing else."""

import json
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

import numpy as np

from bot.report.charts import Dots, Line, Marks, Panel, ahead_panel, chart, means, stretches
from bot.report.comparison import compare_accounts, comparison_table
from bot.report.formatting import (
    ahead,
    change,
    coloured,
    currencies,
    event_words,
    money,
    mood,
    percent,
    percents,
    plain,
    ratio,
    short,
    signed,
    table,
    when,
)
from bot.report.history import AccountHistory, account_statistics, exposure, mix, months, swaps
from bot.report.sheet import Tile, definitions, in_sample_note, sheet, tiles
from bot.report.statistics import drawdowns
from bot.report.trades import small_trades
from bot.trading import MINIMUM, POLICY

_COLOURS: Final = 8
_EVENTS_SHOWN: Final = 40
_DOTS: Final = 80  # of each side
_SHOWN_KINDS: Final = (
    "model_swapped",
    "model_rejected",
    "model_failed",
    "paused",
    "resumed",
    "gap",
    "revision",
    "suspect",
    "clock_skew",
    "stale_feed",
    "exchange_error",
)
_DEFINITIONS: Final = {
    "Value": "balance plus coins at the close of the bar, after its action; a chart's first point is before it.",
    "Holding": "the initial balance and coins, never touched, at the same closes.",
    "Constant mix": "starts with the same value and is rebalanced every hour, free of cost, to the account's own mean "
    "share in coins. Only what beats it is timing; what merely beats holding may be luck with the share held.",
    "Return": "last value over first, minus 1, over the span shown; not annualised. Ahead of holding, or of the mix: "
    "the account's value over theirs, minus 1, both from the same start.",
    "Log return": "the natural logarithm of last value over first; over hold and over mix are differences of two.",
    "Sharpe ratio": "mean over standard deviation of the bars' simple returns, annualised with 365 days; no risk-free "
    "rate.",
    "Best and worst trade": "of the sales, by their profit over the average price of the coins sold, after commission.",
    "Drawdown": "how far a value lies below the highest previous value, as a fraction of that.",
    "Share in coins": "coins at the close, as a fraction of the value, after the action; exposure is its mean.",
    "Turnover": "value bought and sold as a multiple of the account's value, summed over the bars.",
    "Commission, slippage": "what the trades paid to the exchange, and how much worse their fills were than the bar's "
    "close (negative: better), in quote currency.",
    "Probabilities": "the policy's probabilities of hold, buy and sell, averaged over short stretches of time.",
    "In sample": "bars among the candles that the model learned from: its result there does not show how it does on "
    "new ones.",
    "Not traded on": "hours that the exchange did not have (synthetic), that came too late (missed, clock), or in a "
    "pause: the policy observes them, the account does nothing.",
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
    now: float,
    left_out: Sequence[str] = (),
) -> str:
    """The page for accounts, the main one first, made at `now` (Unix seconds). `aligned` is these accounts but for
    those `left_out` over the hours that they all decided; it is shown where there are several.
    """
    main = histories[0]
    exchange, _, rest = main.terms.market.partition(":")
    symbol, _, bar = rest.rpartition(":")
    several = len(histories) > 1
    span = f"{when(main.bar_times[0])} to {when(main.bar_times[-1])} UTC, {len(main.bar_times):,} bars"
    quote = currencies(main.terms.market)[0]
    about = f"Paper trading by hourhand on {exchange}, bars of {bar}, {span}. Amounts in {quote}."
    parts = []
    for place, history in enumerate(histories):
        body = _account(history)
        head = f"Account {escape(history.terms.name)}"
        opened = " open" if place == 0 else ""
        parts.append(f"<details{opened}><summary>{head}</summary>{body}</details>" if several else body)
    if len(aligned) > 1:
        parts.append(_beside(aligned))
    if left_out:
        names = ", ".join(left_out)
        parts.append(f'<p class="soft">Not side by side, for too few hours in common: {escape(names)}.</p>')
    parts += [_events(events), definitions(_DEFINITIONS)]
    return sheet(f"{main.terms.name} on {symbol}", f"{about} Made at {when(now)} UTC.", parts)


def _beside(aligned: Sequence[AccountHistory]) -> str:
    lines = [
        Line(history.terms.name, 100 * history.values / max(history.values[0], 1e-300), _style(place))
        for place, history in enumerate(aligned)
    ]
    hold = Line("holding", 100 * aligned[0].holds / max(aligned[0].holds[0], 1e-300), "hold dashed")
    figure = chart(
        "Value of each",
        "100 at the first hour that all of them decided",
        aligned[0].bar_times,
        [Panel([*lines, hold], plain, height=320)],
        Marks(in_sample=stretches(np.any([history.in_sample for history in aligned], axis=0))),
    )
    compared = comparison_table(compare_accounts(aligned))
    return f"<section><h2>Side by side</h2>{compared}{figure}</section>"


def _style(place: int) -> str:
    if place == 0:
        return "mine"
    return f"c{(place - 1) % _COLOURS + 1}" + (" dashed" if place > _COLOURS else "")


def _account(history: AccountHistory) -> str:
    note = in_sample_note(int(history.in_sample.sum()), len(history.bar_times))
    return f"<section>{note}{_tiles(history)}{_charts(history)}{_months(history)}{_models(history)}</section>"


def _tiles(history: AccountHistory) -> str:
    f, mixed = account_statistics(history), mix(history)
    over_hold, over_mix = ahead(history.values, history.holds), f["value"] - float(mixed[-1])
    sharpes = f"holding {ratio(f['hold_sharpe'])}, mix {ratio(f['constant_mix_sharpe'])}"
    drawdown = f"holding {percent(f['hold_max_drawdown'])}"
    worst = f"the worst {signed(f['worst_trade'], 2)}, against the average price"
    small = small_trades(history.fills)
    trades = f"turnover {f['turnover']:,.1f} times" + (f", {small:,} below ten" if small else "")
    return tiles(
        [
            Tile("Value", money(f["value"]), f"holding {money(f['hold_value'])}"),
            Tile("Return", change(history.values), f"holding {change(history.holds)}, mix {change(mixed)}"),
            Tile("Excess over holding", signed(f["excess"], 2), over_hold, mood(f["excess"])),
            Tile("Over the constant mix", signed(over_mix, 2), ahead(history.values, mixed), mood(over_mix)),
            Tile("Sharpe ratio", ratio(f["sharpe"]), sharpes),
            Tile("Deepest drawdown", percent(f["max_drawdown"]), drawdown),
            Tile("Mean share in coins", percent(f["exposure"]), f"now {percent(float(history.shares[-1]))}"),
            Tile("Trades", f"{f['trades']:,}", trades),
            Tile("Best trade", signed(f["best_trade"], 2), worst, mood(f["best_trade"] or 0.0)),
            Tile("Commission", money(f["commission"]), f"slippage {money(f['slippage'])}"),
        ]
    )


def _charts(history: AccountHistory) -> str:
    quote, base = currencies(history.terms.market)
    untraded = [n for n, reason in enumerate(history.reasons) if reason not in (POLICY, MINIMUM)]
    marks = Marks(swaps(history), untraded, stretches(history.in_sample))
    mixed, where = mix(history), {int(time): n for n, time in enumerate(history.bar_times)}
    sides = {side: [where[t] for t, fill in history.fills.items() if fill.side == side] for side in ("buy", "sell")}
    dots = [_dots(history, side, at) for side, at in sides.items()]
    hold, buy, sell = (100 * means(column) for column in history.probabilities.T)

    def render(title: str, note: str, *panels: Panel) -> str:
        return chart(title, note, history.bar_times, panels, marks)

    values = [Line("account", history.values, "mine"), Line("holding", history.holds, "hold")]
    mixes = Line(f"constant mix of {percent(exposure(history))} in coins", mixed, "mix")
    charts = [
        render("Value", f"In {quote}", Panel([*values, mixes], short, height=300)),
        render(
            "Ahead of holding and of the constant mix",
            "The account's value over theirs, minus 1; below zero it is behind",
            ahead_panel(history.values, history.holds, mixed),
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


def _dots(history: AccountHistory, side: str, at: Sequence[int]) -> Dots:
    """The trades of one side; of many the largest alone, so that the price is still to be seen."""
    shown = sorted(sorted(at, key=lambda place: -history.traded[place])[:_DOTS])
    name = f"{side} ({len(at):,})" if len(shown) == len(at) else f"{side} (the largest {_DOTS} of {len(at):,})"
    return Dots(name, shown, history.closes[shown].tolist(), side, above=side == "sell")


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
    return f"<h3>Months</h3>{table(head, rows, '', 'Months')}"


def _models(history: AccountHistory) -> str:
    begins = [0, *swaps(history)]
    rows = []
    for start, end in zip(begins, [*begins[1:], len(history.models)], strict=True):
        returns = [change(values[max(start - 1, 0) : end]) for values in (history.values, history.holds)]
        bars = [f"{end - start:,}", f"{int(history.in_sample[start:end].sum()):,}"]
        rows.append([history.models[start], when(history.bar_times[start]), *bars, *returns])
    shown = rows[-_EVENTS_SHOWN:]
    head = "Models" if len(shown) == len(rows) else f"Models: the newest {len(shown)} of {len(rows)} stretches"
    return f"<h3>{head}</h3>{table(('model', 'from', 'bars', 'in sample', 'account', 'holding'), shown, '', 'Models')}"


def _events(events: Sequence[Event]) -> str:
    counts = Counter(event.kind for event in events)
    shown = [event for event in events if event.kind in _SHOWN_KINDS][-_EVENTS_SHOWN:]
    summary = ", ".join(f"{kind} {number:,}" for kind, number in sorted(counts.items())) or "none"
    rows = [[when(event.at), event.kind, event_words(json.loads(event.detail))] for event in reversed(shown)]
    listed = table(("at", "event", "what"), rows, "words", "Events") if rows else ""
    more = f" The newest {len(rows)} of those that matter:" if rows else ""
    return f"<h2>Events</h2><p class='soft'>All in the ledger: {escape(summary)}.{more}</p>{listed}"
