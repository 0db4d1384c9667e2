"""The lab's page: a verdict, and every figure that it rests on, as one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from bot.report import Line, Marks, Panel, Tile, chart, definitions, percent, percents, sheet, signed, table, tiles

_NAMES: Final = {
    "policy": "trained policy",
    "random": "chance with its turnover",
    "hold": "holding",
    "constant_mix": "constant mix",
    "ridge": "ridge regression",
}
_STYLES: Final = {"policy": "mine", "hold": "hold", "constant_mix": "mix"}
_DEFINITIONS: Final = {
    "Verdict": "timing is found where chance alone would do as well in the best of all trials with a probability below "
    "5 %, the whole 95 % interval is above 0, and none of the three corrections objects.",
    "Pool": "an equal part in each market: in every hour the mean of the markets that have it. Intervals resample the "
    "same hours in all markets together, in blocks, and the seeds.",
    "Timing": "log return over a constant mix of the same mean share in coins, which is brought back every hour, free "
    "of cost. Its parts add up to it: what trading cost, what a varying share lost to variance, and what choosing the "
    "hours gained.",
    "PBO": "the probability of backtest overfitting: how often the candidate that is best on half of the time is at or "
    "below the median on the other half (Bailey, Borwein, Lopez de Prado, Zhu 2017). Half is what chance gives.",
    "Deflated Sharpe ratio": "the probability that the Sharpe ratio of the timing is more than the best of as many "
    "trials without skill would show (Bailey, Lopez de Prado 2014).",
    "SPA": "Hansen's (2005) p-value for the best candidate against a baseline: how likely it is that none is better.",
    "Trials": "every setting with every seed that was ever tried in this folder (trials.jsonl).",
}


def render_lab(result: Mapping[str, Any]) -> str:
    """The page of a result as it is in `lab.json`."""
    folds = result["folds"]
    span = f"{folds[0]['from'][:10]} to {folds[-1]['to'][:10]}"
    title = f"Walk-forward, {span}"
    markets = len(result["markets"])
    about = (
        f"{markets} market{'s' if markets > 1 else ''}, {len(folds)} folds, {result['seeds']} seeds, "
        f"{result['pooled']['bars']:,} hours; setting {result['setting']}."
    )
    parts = [
        f"<p><b>{escape(result['verdict'][:1].upper() + result['verdict'][1:])}.</b></p>",
        _tiles(result),
        _curves(result["curves"]),
        "<h2>Candidates on the same hours</h2>",
        _candidates(result["candidates"]),
        "<h2>Costs</h2>",
        _costs(result["costs"]),
        "<h2>Folds</h2>",
        _folds(folds),
        "<h2>Markets</h2>",
        _markets(result["markets"]),
        "<h2>Seeds</h2>",
        _seeds(result["seeds_figures"]),
    ]
    if "tried" in result:
        parts += ["<h2>Settings</h2>", _tried(result["tried"])]
    spa = [[_named(name), _number(p_value, 3)] for name, p_value in result["spa"].items()]
    parts += ["<h2>Hansen's SPA against each baseline</h2>", table(("baseline", "p-value"), spa)]
    return sheet(title, about, [*parts, definitions(_DEFINITIONS)])


def _tiles(result: Mapping[str, Any]) -> str:
    timing = result["pooled"]["timing_log_return"]
    return tiles(
        [
            Tile("Timing", *_with_range(timing)),
            Tile("Trials", f"{result['trials']:,}", f"chance does as well: {result['p_value']:.2g}"),
            Tile("PBO", _number(result["pbo"], 2), "0.5 is chance"),
            Tile("Deflated Sharpe", _number(result["deflated_sharpe"], 2), f"SPA {_number(result['spa_p_value'], 3)}"),
        ]
    )


def _curves(curves: Mapping[str, Sequence[float]]) -> str:
    others = iter(f"c{n}" for n in range(1, 9))
    lines = [
        Line(_named(name), 100 * np.expm1(np.array(values)), _STYLES.get(name) or next(others))
        for name, values in curves.items()
        if name != "bar_times"
    ]
    note = "Mean log returns of markets and seeds since the start, as gains"
    panel = Panel(lines, percents, bounds=(0.0,), height=300)
    return chart("The pool", note, np.array(curves["bar_times"]), [panel], Marks())


def _candidates(candidates: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, one in candidates.items():
        parts = one["timing_parts"]
        rows.append(
            [
                _named(name),
                signed(one["policy"]["log_return"], 3),
                signed(one["policy"]["sharpe"], 2),
                percent(one["policy"]["max_drawdown"]),
                percent(one["exposure"]),
                f"{one['turnover']:,.1f}",
                *_with_range(one["timing_log_return"]),
                *(signed(parts[part], 3) for part in ("cost", "variance_drag", "selection")),
            ]
        )
    head = (
        "",
        "log return",
        "Sharpe",
        "drawdown",
        "in coins",
        "turnover",
        "timing",
        "95 %",
        "cost",
        "variance",
        "selection",
    )
    return table(head, rows)


def _costs(costs: Mapping[str, Mapping[str, Any]]) -> str:
    names = list(next(iter(costs.values())))
    rows = [[_named(name), *(signed(costs[bps][name]["timing"]["value"], 3) for bps in costs)] for name in names]
    return table(("timing", *(f"{bps} bps" for bps in costs)), rows)


def _folds(folds: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for fold in folds:
        returns = [signed(fold[name]["log_return"], 3) for name in ("policy", "hold", "constant_mix")]
        rows.append(
            [
                fold["fold"],
                f"{fold['bars']:,}",
                *returns,
                *_with_range(fold["timing_log_return"]),
                percent(fold["exposure"]),
                f"{fold['turnover']:,.1f}",
            ]
        )
    return table(("fold", "hours", "policy", "holding", "mix", "timing", "95 %", "in coins", "turnover"), rows)


def _markets(markets: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        [
            name,
            f"{one['bars']:,.0f}",
            *(signed(one[key], 3) for key in ("log_return", "hold_log_return", "timing_log_return")),
            percent(one["max_drawdown"]),
            percent(one["exposure"]),
            f"{one['turnover']:,.1f}",
        ]
        for name, one in markets.items()
    ]
    return table(("market", "hours", "policy", "holding", "timing", "drawdown", "in coins", "turnover"), rows)


def _seeds(seeds: Sequence[Mapping[str, float]]) -> str:
    rows = [
        [
            str(seed),
            signed(one["log_return"], 3),
            signed(one["timing"], 3),
            percent(one["exposure"]),
            f"{one['turnover']:,.1f}",
        ]
        for seed, one in enumerate(seeds)
    ]
    return table(("seed", "log return", "timing", "in coins", "turnover"), rows)


def _tried(tried: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            one["setting"],
            signed(one["timing"], 3),
            ", ".join(f"{key} = {value}" for key, value in one["changes"].items()),
        ]
        for one in tried
    ]
    return table(("setting", "timing", "what it changes"), rows)


def _named(name: str) -> str:
    return _NAMES.get(name, name.removeprefix("rule:"))


def _with_range(figures: Mapping[str, Any]) -> tuple[str, str]:
    """A figure and its 95 % interval."""
    low, high = figures["ci95"]
    return signed(figures["value"], 3), f"{signed(low, 3)} to {signed(high, 3)}"


def _number(number: float | None, decimals: int) -> str:
    return "-" if number is None else f"{number:.{decimals}f}"
