"""An exchange that does not go with the ledger: hours and candles it lacks, other prices, no such symbol."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.errors import ExchangeError, LedgerError, UsageError
from bot.service import Poll
from bot.simulator import generate_candles
from bot.simulator.generate import START
from bot.simulator.market import Market
from tests.bot.service.steps import daemon, decided_hours, set_hour, stepped_world
from tests.harness import HOUR, InlineWaiter, World, events_at, model_of, poll


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with stepped_world(tmp_path, monkeypatch) as made:
        yield made


def test_a_clock_before_the_ledgers_newest_bar_is_said_once_and_its_end(world: World, log_lines: list[Any]) -> None:
    """As where a simulated exchange is started anew, and the ledger is that of before."""
    daemon(world, lambda: None)
    daemon(world, lambda: set_hour(world, 10), lambda: None, lambda: None, lambda: set_hour(world, 31), lambda: None)
    said = [line["event"] for line in log_lines if line["event"].startswith("clock_behind")]
    assert said == ["clock_behind", "clock_behind_over"]
    assert [kind for kind in events_at(world.url) if kind.startswith("clock_behind")] == said
    assert decided_hours(world) == [30, 31]


def _without_symbol(world: World) -> None:
    world.exchange.market = Market(world.exchange.candles, HOUR, "ETH/USD")


def test_a_symbol_that_the_exchange_lacks_ends_a_daemon_that_never_decided(world: World) -> None:
    _without_symbol(world)
    with pytest.raises(UsageError, match="BTC/USD"):
        daemon(world, lambda: None)


def test_a_daemon_with_decisions_stays_where_the_list_lacks_its_symbol(world: World) -> None:
    daemon(world)
    _without_symbol(world)
    set_hour(world, 31)
    daemon(world, lambda: None)
    assert decided_hours(world) == [30]
    assert "exchange_error" in events_at(world.url)


def test_a_poll_comes_back_at_each_bar_of_a_long_catch_up(world: World) -> None:
    """Between two of them the loop feeds systemd's watchdog, and decides what other markets have answered."""
    daemon(world)
    set_hour(world, 60)
    with world.poller(model_of(1)) as poller:
        one, bars = Poll(poller, InlineWaiter()), []
        while not one.advance():
            bars.append(poller.account_states[0].bar_time)
        assert one.bars == 30
    assert len(set(bars)) == 31  # and once before the first, when the exchange has answered


def test_an_exchange_that_lacks_all_that_is_stored_is_believed_only_after_hours(world: World) -> None:
    daemon(world)
    shown = world.exchange.candles
    world.exchange.candles = [candle for candle in shown if candle.bar_time > START + 40 * HOUR]
    set_hour(world, 45)
    with world.poller(model_of(1)) as poller:
        for minutes in (0, 30, 90):
            world.dial.now += 60 * minutes
            with pytest.raises(ExchangeError, match="none of the stored candles"):
                poll(poller)
    assert decided_hours(world) == [30]
    world.dial.now += 60
    with world.poller(model_of(1)) as poller:  # the polls before count, whichever process made them
        poll(poller)
    assert decided_hours(world)[:2] == [30, 31]
    assert events_at(world.url).count("missing_overlap") == 3


def test_another_markets_prices_are_never_decided_on(world: World) -> None:
    daemon(world)
    world.exchange.candles = generate_candles(400, seed=4, holes=0.0)
    set_hour(world, 31)
    with world.poller(model_of(1)) as poller, pytest.raises(LedgerError) as caught:
        poll(poller)
    assert caught.value.exit_code == 4
    daemon(world, lambda: None)
    assert decided_hours(world) == [30]
    assert "exchange_error" in events_at(world.url)
