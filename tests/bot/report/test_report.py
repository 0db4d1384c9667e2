"""The report's figures are the ledger's, its charts lose no extreme, and its page needs nothing else."""

import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.cli import main
from bot.errors import UsageError
from bot.ledger import Ledger, account_summary, open_reader, open_writer
from bot.market import fill_gaps
from bot.report import Event, account_statistics, align_histories, render_page, thinned
from bot.report.charts import BUCKETS, Line, Marks, Panel, chart, means, stretches, ticks
from bot.report.formatting import short
from bot.report.history import (
    AccountHistory,
    account_names,
    history_of,
    mix,
    models_by_last_bar,
    months,
    read_history,
)
from bot.report.records import cut_record, join_records
from bot.report.statistics import drawdowns
from bot.service import replay_candles
from bot.simulator import generate_candles
from bot.trading import AccountTerms, Trader
from tests.harness import HOUR, model_of, rows_at

MARKET = "bitfinex:BTC/USD:1h"
WARMUP = 50
NOW = 1_600_000_000.0
CANDLES = generate_candles(1_600, seed=8, holes=0.004)
RUN = fill_gaps(CANDLES, HOUR)
MODELS = [model_of(11), model_of(12, bias=(2.0, 0.0, 0.5))]
ROOT = Path(__file__).parents[3]


def written(file: Path) -> Path:
    """A ledger of `main`, whose model changes after 900 candles, and `<b>`, which starts and ends at other bars."""
    ledger = open_writer(f"sqlite:///{file}")
    replay_candles(ledger, Trader(AccountTerms("main", MARKET), MODELS[0]), CANDLES[:900], WARMUP)
    replay_candles(ledger, Trader(AccountTerms("main", MARKET), MODELS[1]), CANDLES, WARMUP)
    replay_candles(ledger, Trader(AccountTerms("<b>", MARKET), MODELS[1], "argmax"), CANDLES[:1_500], 200)
    ledger.close()
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("report") / "ledger.sqlite")


@pytest.fixture
def ledger(file: Path) -> Ledger:
    return open_reader(f"sqlite:///{file}")


def read(ledger: Ledger, *names: str) -> list[AccountHistory]:
    with ledger.reading() as connection:
        histories = [read_history(connection, name) for name in names]
    ledger.close()
    return histories


# ---- figures


def test_the_figures_follow_from_the_ledgers_rows(file: Path, ledger: Ledger) -> None:
    (main_account,) = read(ledger, "main")
    result = account_statistics(main_account)
    rows = rows_at(f"sqlite:///{file}")
    decisions = [row for row in rows["decisions"] if row[0] == "main"]
    fills = [row for row in rows["fills"] if row[0] == "main"]
    close = {row[1]: row[5] for row in rows["candles"]}
    bars = [row[1] for row in decisions]
    values = [10_000.0 + close[bars[0]], *(row[14] for row in decisions[1:])]
    shares = [row[13] * close[row[1]] / row[14] for row in decisions]
    share = sum(shares) / len(shares)
    mixed = math.prod(1 + share * (close[now] / close[before] - 1) for before, now in pairwise(bars))
    highest = [max(values[: place + 1]) for place in range(len(values))]

    assert result["bars"] == len(bars) == len(RUN) - WARMUP
    assert (result["first"], result["last"]) == (bars[0], bars[-1])
    assert result["value"] == decisions[-1][14]
    assert result["hold_value"] == decisions[-1][15]
    assert result["excess"] == decisions[-1][14] - decisions[-1][15]
    assert result["log_return"] == pytest.approx(math.log(values[-1] / values[0]), rel=1e-12)
    assert result["exposure"] == pytest.approx(share, rel=1e-12)
    assert result["constant_mix_log_return"] == pytest.approx(math.log(mixed), rel=1e-9)
    hold = math.log(decisions[-1][15] / decisions[0][15])
    assert result["excess_log_return"] == pytest.approx(math.log(values[-1] / values[0]) - hold, rel=1e-9)
    assert result["timing_log_return"] == pytest.approx(math.log(values[-1] / values[0] / mixed), rel=1e-9)
    assert result["max_drawdown"] == pytest.approx(
        max(1 - v / h for v, h in zip(values, highest, strict=True)), rel=1e-12
    )
    assert result["trades"] == len(fills) > 100
    assert result["commission"] == pytest.approx(sum(fill[6] for fill in fills), rel=1e-12)
    assert result["slippage"] == 0.0
    assert result["synthetic"] == sum(candle.synthetic for candle in RUN[WARMUP:]) > 0
    assert (result["missed"], result["swaps"]) == (0, 1)
    assert result["models"] == [model.model_id for model in MODELS]


def test_they_are_those_of_status(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        result, status = account_statistics(read_history(connection, "main")), account_summary(connection, "main")
    ledger.close()
    assert {name: result[name] for name in ("value", "hold_value", "excess", "trades", "bars")} == {
        name: status[name] for name in ("value", "hold_value", "excess", "trades", "bars")
    }


def test_the_months_multiply_to_the_whole(ledger: Ledger) -> None:
    for one in read(ledger, "main", "<b>"):
        rows = months(one)
        assert [row["month"] for row in rows] == sorted(
            {str(t.astype("datetime64[M]")) for t in one.bar_times.astype("datetime64[s]")}
        )
        assert sum(row["bars"] for row in rows) == len(one.bar_times)
        assert sum(row["trades"] for row in rows) == len(one.fills)
        for name, values in {"value": one.values, "hold": one.holds, "mix": mix(one)}.items():
            assert math.prod(1 + row[name] for row in rows) == pytest.approx(values[-1] / values[0], rel=1e-12)


def test_a_cut_in_the_middle_starts_from_the_worth_before_its_first_action(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        whole = read_history(connection, "main")
        first, last = int(whole.bar_times[300]), int(whole.bar_times[600])
        part = read_history(connection, "main", first, last + 1)
    ledger.close()
    assert np.array_equal(part.values[1:], whole.values[301:601])
    fill = part.fills.get(first)
    assert part.values[0] == pytest.approx(whole.values[300] + (fill.commission if fill else 0.0), rel=1e-12)
    assert len(part.fills) == sum(first <= time <= last for time in whole.fills)


def test_accounts_are_compared_over_the_hours_they_share(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        both, left_out = align_histories([read_history(connection, name) for name in account_names(connection, "main")])
    ledger.close()
    assert left_out == []
    assert [one.terms.name for one in both] == ["main", "<b>"]
    assert np.array_equal(both[0].bar_times, both[1].bar_times)
    assert [len(one.bar_times) for one in both] == [len(fill_gaps(CANDLES[:1_500], HOUR)) - 200] * 2
    assert account_statistics(both[0])["hold_log_return"] == account_statistics(both[1])["hold_log_return"]


def test_who_is_not_there_is_named(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        for ask in (read_history, account_names):
            with pytest.raises(UsageError, match="'nobody'"):
                ask(connection, "nobody")
    ledger.close()


# ---- charts


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3 * BUCKETS), st.integers(1, 9))
def test_thinning_keeps_the_ends_and_the_extremes(values: list[float], times: int) -> None:
    series = np.tile(np.array(values), times)
    kept = thinned(series)
    assert len(kept) <= 4 * BUCKETS
    assert (kept[0], kept[-1]) == (0, len(series) - 1)
    assert np.all(np.diff(kept) > 0)
    assert series[kept].min() == series.min()
    assert series[kept].max() == series.max()


def test_no_peak_of_a_year_is_lost() -> None:
    series = np.random.default_rng(1).normal(size=8_760)
    kept = set(thinned(series).tolist())
    for bucket in np.array_split(np.arange(8_760), BUCKETS):
        assert kept & set(bucket.tolist())
    assert {int(series.argmin()), int(series.argmax())} <= kept


@given(st.lists(st.floats(0, 1), min_size=1, max_size=2_000))
def test_means_keep_the_mean(values: list[float]) -> None:
    series = np.array(values)
    smooth = means(series)
    assert len(smooth) == len(series)
    assert smooth.mean() == pytest.approx(series.mean(), abs=1e-12)
    assert smooth.min() >= series.min() - 1e-12
    assert smooth.max() <= series.max() + 1e-12


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9), st.integers(2, 9))
@example(0.0, 0.0, 5)
@example(30_000.0, 0.0, 5)
@example(-0.3, 0.3, 4)
def test_ticks_are_round_and_embrace_the_numbers(low: float, span: float, most: int) -> None:
    made = ticks(low, low + span, most)
    step = made[1] - made[0]
    slack = 1e-6 * step
    assert made[0] <= low + slack
    assert made[-1] >= low + span - slack
    assert 2 <= len(made) <= most + 3
    assert all(now - before == pytest.approx(step, rel=1e-6) for before, now in pairwise(made))
    assert f"{step:.3e}"[:4] in {"1.00", "2.00", "2.50", "5.00"}


def test_a_chart_of_one_bar_is_one() -> None:
    drawn = chart("t", "n", np.array([0]), [Panel([Line("a", np.array([5.0]), "mine")], str)], Marks())
    assert drawn.count("<path") == 2


# ---- the page


class Outline(HTMLParser):
    """Which tags are open, what attributes there are, and the text of cells."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_holds_together_and_fetches_nothing(ledger: Ledger) -> None:
    histories = read(ledger, "main", "<b>")
    events = [
        Event(histories[0].bar_times[5] + 3620.0, "model_rejected", json.dumps({"error": "<script>", "pointer": "x"}))
    ]
    text = render_page(histories, [histories[1]] * 2, events, NOW)
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert not outline.attributes & {"src", "href", "onclick", "onload"}
    assert not outline.tags & {"script", "link", "img", "iframe", "b>"}
    assert "url(" not in text
    assert "@import" not in text
    assert "&lt;script&gt;" in text
    assert "Account &lt;b&gt;" in text


def test_its_numbers_are_the_ledgers(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOURHAND_LEDGER__URL", f"sqlite:///{file}")
    out = tmp_path / "page.html"
    assert main(["report", "--account", "main", "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    text = out.read_text()
    assert result["bytes"] == len(text.encode())
    rows = [row for row in rows_at(f"sqlite:///{file}")["decisions"] if row[0] == "main"]
    fills = [row for row in rows_at(f"sqlite:///{file}")["fills"] if row[0] == "main"]
    tiles = dict(re.findall(r'<div class="tile"><span>([^<]+)</span><b class="[^"]*">([^<]+)</b>', text))
    assert tiles["Value"] == f"{rows[-1][14]:,.2f}"
    assert tiles["Excess over holding"] == f"{rows[-1][14] - rows[-1][15]:+,.2f}".replace("-", "\N{MINUS SIGN}")
    assert tiles["Trades"] == f"{len(fills):,}"
    assert tiles["Commission"] == f"{sum(fill[6] for fill in fills):,.2f}"
    assert tiles["Deepest drawdown"] == f"{100 * result['accounts'][0]['max_drawdown']:.1f} %"
    for side in ("buy", "sell"):
        assert f"{side} (the largest 80 of {sum(fill[2] == side for fill in fills):,})" in text
    assert text.count('class="swap" d="M') == 8  # one line in each panel
    assert "hour not traded on" in text
    for model in MODELS:
        assert f'<td data-h="model">{model.model_id}</td>' in text


def test_a_year_is_small(tmp_path: Path) -> None:
    ledger = open_writer(f"sqlite:///{tmp_path}/year.sqlite")
    replay_candles(ledger, Trader(AccountTerms("main", MARKET), model_of(11)), generate_candles(8_760, seed=2), 0)
    with ledger.reading() as connection:
        one = read_history(connection, "main")
    ledger.close()
    text = render_page([one], [one], [], NOW)
    assert len(one.fills) > 2_000
    assert len(text.encode()) < 250_000


@pytest.mark.parametrize("arguments", [["--account", "nobody", "--out", "x.html"], ["--out", "no/such/folder/x.html"]])
def test_what_cannot_be_done_is_wrong_usage(
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOURHAND_LEDGER__URL", f"sqlite:///{file}")
    assert main(["report", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_single_bar_of_an_odd_market_makes_a_page(tmp_path: Path) -> None:
    ledger = open_writer(f"sqlite:///{tmp_path}/one.sqlite")
    replay_candles(ledger, Trader(AccountTerms("main", "kraken:BTC/USD:USD:1h"), model_of(11)), CANDLES[:11], 10)
    with ledger.reading() as connection:
        one = read_history(connection, "main")
    ledger.close()
    text = render_page([one], [one], [], NOW)
    assert "main on BTC/USD:USD" in text
    assert "on kraken, bars of 1h, " in text
    assert "Amounts in USD." in text
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text)


def test_accounts_without_common_hours_have_a_page_without_a_comparison(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        early, late = (
            read_history(connection, "main", 0, RUN[300].bar_time),
            read_history(connection, "<b>", RUN[400].bar_time),
        )
        assert align_histories([early, late], keep_all=True) == ([], [])
        together, left_out = align_histories([early, late])
    ledger.close()
    assert [one.terms.name for one in together] == ["main"]
    assert left_out == ["<b>"]
    text = render_page([early, late], together, [], NOW, left_out)
    assert "<h2>Side by side" not in text
    assert "too few hours in common: &lt;b&gt;" in text
    assert text.count("<details") == 2


def test_drawdown_is_from_the_highest_before() -> None:
    assert drawdowns(np.array([100.0, 80.0, 120.0, 90.0, 120.0])).tolist() == [0.0, 1 - 0.8, 0.0, 0.25, 0.0]


def test_one_short_lived_account_takes_nothing_from_the_others(tmp_path: Path) -> None:
    ledger = open_writer(f"sqlite:///{tmp_path}/several.sqlite")
    spans = {"main": (0, 400), "long": (100, 400), "hour": (388, 400), "gone": (10, 30)}
    for name, (first, end) in spans.items():
        replay_candles(ledger, Trader(AccountTerms(name, MARKET), model_of(11)), RUN[first:end], 10)
    with ledger.reading() as connection:
        whole = [read_history(connection, name) for name in spans]
        aligned, left_out = align_histories(whole)
        pair, none = align_histories([whole[0], whole[2]])
    ledger.close()
    assert [(one.terms.name, len(one.bar_times)) for one in aligned] == [("main", 290), ("long", 290)]
    assert sorted(left_out) == ["gone", "hour"]
    assert [len(one.bar_times) for one in pair] == [2, 2]  # the only other one is what is asked for
    assert none == []
    text = render_page(whole, aligned, [], NOW, left_out)
    assert "<h2>Side by side" in text
    assert "too few hours in common" in text


def test_the_newest_model_is_the_last_after_a_rollback(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        history = read_history(connection, "main")._replace(models=["a", "b", "b", "a"])
    ledger.close()
    assert models_by_last_bar(history) == ["b", "a"]


def test_bars_in_sample_are_marked_in_every_chart_and_counted_in_the_tables(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        history = read_history(connection, "main")
    ledger.close()
    in_sample = np.zeros(len(history.bar_times), dtype=bool)
    in_sample[10:40] = in_sample[50:60] = True
    clean = render_page([history], [history], [], NOW)
    marked = render_page([history._replace(in_sample=in_sample)], [history], [], NOW)
    assert stretches(in_sample) == [(10, 39), (50, 59)]
    assert 'class="learned"' not in clean
    assert marked.count('<path class="learned"') == marked.count("<svg")
    assert sum(row["in_sample_bars"] for row in months(history._replace(in_sample=in_sample))) == 40
    assert "bars in sample" in marked


def test_it_says_when_it_was_made_and_how_good_the_trades_were(ledger: Ledger) -> None:
    (history,) = read(ledger, "main")
    text = render_page([history], [history], [], NOW)
    assert "Made at 2020-09-13 12:26 UTC." in text
    for name in ("Sharpe ratio", "Best trade"):
        assert f'<div class="tile"><span>{name}</span>' in text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0"), (999.0, "999"), (4_000.0, "4k"), (4e9, "4B"), (1.25e6, "1.25M"), (0.00012, "0.00012"), (-2e12, "-2T")],
)
def test_axes_are_read_at_a_glance(number: float, text: str) -> None:
    assert short(number) == text


def test_a_record_is_the_same_cut_joined_or_read_whole(ledger: Ledger) -> None:
    (whole,) = read(ledger, "main")
    middle = int(whole.bar_times[700])
    parts = [cut_record(whole.record, 0, middle), cut_record(whole.record, middle, 2**62)]
    again = history_of(join_records(*parts))
    for name in ("values", "shares", "traded", "commissions", "in_sample", "holds"):
        assert np.array_equal(getattr(again, name), getattr(whole, name)), name
    assert (again.reasons, again.models, again.fills) == (whole.reasons, whole.models, whole.fills)
