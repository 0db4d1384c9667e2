"""The evaluation as one self-contained page: charts, figures, months."""

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bot.errors import UsageError
from training.evaluation import charts
from training.evaluation.statistics import drawdowns

if TYPE_CHECKING:
    from training.evaluation.evaluate import Evaluation

_NAMES: Final = {
    "policy": "Policy",
    "hold": "Holding",
    "constant_mix": "Constant mix",
    "random": "Random",
    "argmax": "Policy, likeliest action",
}
_STYLE: Final = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2rem auto; max-width: 60rem;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p { max-width: 46rem; } .dim { color: #666; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { border-bottom: 2px solid #888; font-weight: 600; }
figure { margin: 2rem 0; } .scroll { overflow-x: auto; } svg { max-width: 100%; height: auto; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } svg, tr { break-inside: avoid; } }
"""


def months(done: "Evaluation") -> list[dict[str, Any]]:
    """Each calendar month in UTC with the simple returns of the policy (mean of the runs in logarithms), of holding
    and of the constant mix, and the policy's mean share in coins.

    A month runs from the last close before it to its own last close.
    """
    names = [datetime.fromtimestamp(candle.bar_time, UTC).strftime("%Y-%m") for candle in done.span.decided]
    ends = [n for n in range(len(names)) if n + 1 == len(names) or names[n] != names[n + 1]]
    shares = done.policy.shares.mean(1)
    logs = {
        "policy": np.log(done.policy.values).mean(1),
        "hold": np.log(done.hold[:, 0]),
        "constant_mix": np.log(done.mix[:, 0]),
    }
    return [
        {
            "month": names[end],
            **{name: float(np.expm1(series[end] - series[max(before, 0)])) for name, series in logs.items()},
            "exposure": float(shares[before + 1 : end + 1].mean()),
        }
        for before, end in pairwise([-1, *ends])
    ]


def write_page(path: Path, done: "Evaluation", result: Mapping[str, Any]) -> None:
    """Write the page; nothing in it is loaded from elsewhere. Raises UsageError where it cannot be written."""
    try:
        path.write_text(_page(done, result), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from error


def _page(done: "Evaluation", result: Mapping[str, Any]) -> str:
    times = charts.days([candle.bar_time for candle in done.span.decided])
    hold, mix, closes = done.hold[:, 0], done.mix[:, 0], done.span.closes
    lows = [drawdowns(values).mean(1) for values in (done.policy.values, done.hold, done.mix)]
    exposure = np.full(len(closes), done.exposure)
    drawn = [
        charts.value_chart(times, done.policy.values, hold, mix),
        charts.exposure_chart(times, closes, done.policy.shares, exposure, "constant mix", "quote currency per coin"),
        charts.drawdown_chart(times, *lows),
    ]
    runs = f"{result['runs']} runs" if result["runs"] > 1 else "one run"
    title = f"Model {result['model_id']}, {result['from'][:10]} to {result['to'][:10]}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{_STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p class="dim">{result["bars"]:,} candles, {runs} ({escape(result["mode"])}), {result["warmup_bars"]} candles of
warm-up. The shaded band spans the runs; lines are their means.</p>
{_verdict(result)}
<div class="scroll">{_figures(result)}</div>
<p class="dim">Returns are total natural logarithms over the span; Sharpe ratios are of hourly simple returns,
annualised with 8,760 hours. The constant mix is brought back to the policy's mean share in coins
({done.exposure:.1%}) every hour, free of cost; random trading has the policy's turnover. Turnover and cost are in
multiples of the account's value over the span.</p>
{"".join(f"<figure>{charts.svg(chart)}</figure>" for chart in drawn)}
<h2>Months</h2><div class="scroll">{_months(done)}</div>
</body></html>
"""


def _verdict(result: Mapping[str, Any]) -> str:
    sentences = []
    for name, what in (("excess_log_return", "holding"), ("timing_log_return", "the constant mix")):
        value, (low, high) = result[name]["value"], result[name]["ci95"]
        sure = "more than" if low > 0 else "less than" if high < 0 else "not distinguishable from"
        sentences.append(f"Against {what}: {value:+.3f} (95 % interval {low:+.3f} to {high:+.3f}), {sure} {what}.")
    return f"<p>{'<br>'.join(sentences)}</p>"


def _figures(result: Mapping[str, Any]) -> str:
    def row(name: str) -> str:
        row = result[name]
        traded = result if name == "policy" else row
        cells = [f"{row['log_return']:+.4f}", f"{row['sharpe']:+.2f}", f"{row['max_drawdown']:.1%}"]
        shown = [traded.get(key) for key in ("exposure", "turnover", "cost")]
        if shown[1] is None:
            shown = [result["exposure"] if name == "constant_mix" else None, None, None]
        forms = ("{:.1%}", "{:,.1f}", "{:.4f}")
        cells += ["" if value is None else form.format(value) for form, value in zip(forms, shown, strict=True)]
        return _row([_NAMES[name], *cells])

    head = ["", "log return", "Sharpe", "largest drawdown", "share in coins", "turnover", "cost"]
    return _table(head, map(row, _NAMES))


def _months(done: "Evaluation") -> str:
    rows = (
        _row(
            [
                month["month"],
                *(f"{month[name]:+.1%}" for name in ("policy", "hold", "constant_mix")),
                f"{month['policy'] - month['hold']:+.1%}",
                f"{month['policy'] - month['constant_mix']:+.1%}",
                f"{month['exposure']:.0%}",
            ]
        )
        for month in months(done)
    )
    head = ["month", "policy", "holding", "constant mix", "over holding", "over constant mix", "share in coins"]
    return _table(head, rows)


def _row(cells: list[str]) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _table(head: list[str], rows: Any) -> str:
    names = "".join(f"<th>{name}</th>" for name in head)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
