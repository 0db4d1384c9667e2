"""The report's page: its numbers are the ledger's, and it needs nothing else."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from bot.cli import main
from bot.ledger import Ledger, open_writer
from bot.report import Event, align_histories, render_page
from bot.report.charts import stretches
from bot.report.history import months, read_history
from bot.service import replay_candles
from bot.simulator import generate_candles
from bot.trading import AccountTerms, Trader
from tests.bot.report.conftest import CANDLES, MODELS, RUN, read
from tests.harness import MARKET, model_of, rows_at

NOW = 1_600_000_000.0


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
