"""The evaluation as one self-contained page: charts, figures, months, drawn and written as the report's."""

import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bot.errors import UsageError
from bot.report import (
    Line,
    Marks,
    Panel,
    ahead_panel,
    chart,
    coloured,
    drawdowns,
    in_sample_note,
    means,
    month_bounds,
    percent,
    percents,
    sheet,
    short,
    signed,
    stretches,
    table,
    total_return,
    when,
)

if TYPE_CHECKING:
    from training.evaluation.evaluate import Evaluation

_NAMES: Final = {
    "policy": "Policy",
    "hold": "Holding",
    "constant_mix": "Constant mix",
    "random": "Random",
    "argmax": "Policy, likeliest action",
}
_SERIES: Final = ("policy", "hold", "constant_mix")


def months(done: "Evaluation") -> list[dict[str, Any]]:
    """Each calendar month in UTC with the simple returns of the policy (mean of the runs in logarithms), of holding
    and of the constant mix, the policy's mean share in coins, and the bars that the model learned from.

    A month runs from the last close before it to its own last close.
    """
    shares = done.policy.shares.mean(1)
    logs = {
        "policy": np.log(done.policy.values).mean(1),
        "hold": np.log(done.hold[:, 0]),
        "constant_mix": np.log(done.mix[:, 0]),
    }
    return [
        {
            "month": name,
            **{series: float(np.expm1(values[end - 1] - values[base])) for series, values in logs.items()},
            "exposure": float(shares[start:end].mean()),
            "in_sample_bars": int(done.in_sample[start:end].sum()),
        }
        for name, base, start, end in month_bounds(_bar_times(done))
    ]


def write_page(path: Path, done: "Evaluation", result: Mapping[str, Any]) -> None:
    """Write the page; nothing in it is loaded from elsewhere. Raises UsageError where it cannot be written."""
    try:
        path.write_text(_page(done, result), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _page(done: "Evaluation", result: Mapping[str, Any]) -> str:
    runs = f"{result['runs']} runs" if result["runs"] > 1 else "one run"
    title = f"Model {result['model_id']}, {result['from'][:10]} to {result['to'][:10]}"
    about = (
        f"{result['bars']:,} candles, {runs} ({result['mode']}), {result['warmup_bars']} candles of warm-up. "
        f"Made at {when(time.time())} UTC."
    )
    parts = [
        in_sample_note(result["in_sample_bars"], result["bars"]),
        _verdict(result),
        _figures(result),
        f"""<p class="soft">Returns are over the whole span, not annualised, their natural logarithms below in small;
Sharpe ratios are of the bars' simple returns, annualised. The constant mix is rebalanced to the policy's mean share
in coins ({percent(done.exposure)}) at every bar, free of cost; random trading has the policy's turnover. Turnover and
cost are in multiples of the account's value over the span.</p>""",
        *_charts(done),
        f"<h2>Months</h2>{_months(done)}",
    ]
    return sheet(title, about, parts)


def _bar_times(done: "Evaluation") -> NDArray[np.int64]:
    return np.array([candle.bar_time for candle in done.span.decided])


def _charts(done: "Evaluation") -> list[str]:
    values, hold, mix = done.policy.values, done.hold[:, 0], done.mix[:, 0]
    marks = Marks(in_sample=stretches(done.in_sample))
    middle = np.exp(np.log(values).mean(1))
    several = values.shape[1] > 1
    name = "policy, mean of the runs" if several else "policy"
    ends = [
        Line(f"{which} run at each bar", extreme, "mine dashed")
        for which, extreme in (("lowest", values.min(1)), ("highest", values.max(1)))
    ]
    lines = [Line(name, middle, "mine"), *(ends if several else [])]
    shares = means(100 * done.policy.shares.mean(1))
    lows = {"mine": done.policy.values, "hold": done.hold, "mix": done.mix}
    names = {"mine": name, "hold": "holding", "mix": "constant mix"}
    panels = {
        ("Value", "In quote currency"): [
            Panel([*lines, Line("holding", hold, "hold"), Line("constant mix", mix, "mix")], short, height=300)
        ],
        ("Ahead of holding and of the constant mix", "The policy's value over theirs, minus 1"): [
            ahead_panel(middle, hold, mix)
        ],
        (
            "Price and share in coins",
            "Quote currency per coin; then the coins' part of the value, means of short times",
        ): [
            Panel([Line("close", done.span.closes, "price")], short, height=260),
            Panel([Line("share in coins", shares, "mine")], percents, bounds=(0.0, 100.0), height=150),
        ],
        ("Drawdown", "Below the highest value so far, mean of the runs"): [
            Panel(
                [Line(names[style], -100 * drawdowns(runs).mean(1), style) for style, runs in lows.items()],
                percents,
                bounds=(0.0,),
            )
        ],
    }
    return [chart(title, note, _bar_times(done), drawn, marks) for (title, note), drawn in panels.items()]


def _verdict(result: Mapping[str, Any]) -> str:
    sentences = []
    for name, what in (("excess_log_return", "holding"), ("timing_log_return", "the constant mix")):
        value, (low, high) = result[name]["value"], result[name]["ci95"]
        sure = "more than" if low > 0 else "less than" if high < 0 else "not distinguishable from"
        sentences.append(
            f"Against {what}: {signed(100 * float(np.expm1(value)), 1)} % (log return {value:+.3f}, 95 % interval over "
            f"{' and '.join(result[name]['covers'])} {low:+.3f} to {high:+.3f}), {sure} {what}."
        )
    parts = ", ".join(f"{name.replace('_', ' ')} {part:+.3f}" for name, part in result["timing_parts"].items())
    told = f"<p><b>{escape(result['verdict'][0].upper() + result['verdict'][1:])}.</b></p>"
    return f"{told}<p>{'<br>'.join([*sentences, f'The latter in parts: {parts}.'])}</p>"


def _figures(result: Mapping[str, Any]) -> str:
    def row(name: str) -> list[str]:
        row = result[name]
        traded = result if name == "policy" else row
        cells = [total_return(row["log_return"]), signed(row["sharpe"], 2), percent(row["max_drawdown"])]
        shown = [traded.get(key) for key in ("exposure", "turnover", "cost")]
        if shown[1] is None:
            shown = [result["exposure"] if name == "constant_mix" else None, None, None]
        forms = ("{:.1%}", "{:,.1f}", "{:.4f}")
        cells += ["" if value is None else form.format(value) for form, value in zip(forms, shown, strict=True)]
        return [_NAMES[name], *cells]

    head = ["", "return", "Sharpe", "drawdown", "in coins", "turnover", "cost"]
    return table(head, map(row, _NAMES))


def _months(done: "Evaluation") -> str:
    rows = [
        [
            month["month"],
            *(coloured(month[name]) for name in _SERIES),
            *(coloured(month["policy"] - month[name]) for name in _SERIES[1:]),
            percent(month["exposure"]),
            f"{month['in_sample_bars']:,}",
        ]
        for month in months(done)
    ]
    head = ["month", "policy", "holding", "mix", "over holding", "over the mix", "in coins"]
    return table([*head, "bars in sample"], rows)
