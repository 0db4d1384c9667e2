"""The lines of the log: for people what matters first, and for machines everything."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from bot import log
from bot.service.bar_events import log_bar
from bot.simulator import generate_candles
from bot.trading import AccountTerms, DecidedBar, Trader, new_account_state
from tests.harness import MARKET, model_of


@pytest.fixture(autouse=True)
def _logging_as_it_was(log_lines: list[Any]) -> Iterator[None]:  # noqa: ARG001 - it configures the log before
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def bars(count: int) -> list[DecidedBar]:
    candles = generate_candles(10 + count, seed=5, holes=0, quiet=0)
    account = new_account_state(Trader(AccountTerms("main", MARKET), model_of(1)), candles[:10], candles[10])
    made = []
    for candle in candles[10:]:
        made.append(account.decide(candle))
        account = account.after(made[-1])
    return made


@pytest.mark.parametrize("width", [80, 120, 250])
def test_a_bar_for_people_is_one_line_where_it_fits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(log, "_width", lambda: width)
    log.set_up(lambda: 1577836800.0, people=True)
    made = bars(20)
    for bar in made:
        log_bar(bar)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 20
    for line, bar in zip(lines, made, strict=True):
        fill, action = bar.step.fill, bar.step.decision.action
        assert line.startswith("2020-01-01T00:00:00Z [info     ] 2020-01-0")
        words = line[33:].split()
        assert words[2] == (action.upper() if fill else "hold")
        assert (f" {fill.amount:.8f} at {fill.price:,.2f} " in line) if fill else " at " not in line
        names = [word.partition("=")[0] for word in words if "=" in word]
        assert names[:4] == ["reason", "close", "value", "excess"]
        assert len(names) == 4 or len(line) <= width
        assert ("hold_value" in names) == (width == 250)
    assert {bar.step.decision.action for bar in made} == {"hold", "buy", "sell"}


def test_times_of_bars_are_no_unix_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(lambda: 0.0, people=False)
    structlog.get_logger().warning("gap", bar_time=1577836800, bars=2)
    assert json.loads(capsys.readouterr().err)["bar_time"] == "2020-01-01T00:00:00Z"


def test_a_bar_for_machines_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(lambda: 1577836800.0, people=False)
    log_bar(bars(1)[0])
    line = json.loads(capsys.readouterr().err)
    assert list(line)[:4] == ["timestamp", "time", "action", "reason"] or "filled" in line
    assert {"event", "account", "p_hold", "p_buy", "p_sell", "balance", "stocks", "hold_value"} < line.keys()
