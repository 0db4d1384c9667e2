"""Whatever the exchange answers, no row of the ledger is wrong, and once it is well again none is missing."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from bot.errors import ExchangeError
from bot.ledger import verify
from bot.market import Candle
from bot.service import Poller
from bot.simulator import generate_candles
from bot.simulator.faults import FAULTS, Fault
from bot.simulator.generate import START
from bot.trading import CLOCK, MISSED, POLICY, SYNTHETIC
from tests.harness import HOUR, Rows, World, copy_of, events_at, model_of, poll, rows_at, world_of

MODEL = model_of(1)
CANDLES = generate_candles(60, seed=5, holes=0, quiet=0)
LAST = 36  # the last hour decided before the fault
NOW = 39  # three hours are to be decided when it strikes
HANGING = {"timeout", "trickle", "trickle_headers"}
HARMLESS = {"duplicate", "shuffled", "forming", "no_date"}
# What is true is something else under these: an hour really is missing, or the clocks really are apart.
TRUE = {"gap", "clock_ahead", "clock_behind"}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger up to LAST."""
    folder = tmp_path_factory.mktemp("before")
    with world_of(folder, CANDLES) as world, world.poller(MODEL) as poller:
        world.run(poller, range(30, LAST + 1))
    return folder / "ledger.sqlite"


@pytest.fixture(scope="module")
def right(before: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Rows]:
    """What an undisturbed run has at NOW, and an hour later."""
    folder = tmp_path_factory.mktemp("right")
    copy_of(before, folder / "ledger.sqlite")
    rows = []
    with world_of(folder, CANDLES) as world, world.poller(MODEL) as poller:
        for hour in (NOW, NOW + 1):
            world.run(poller, [hour])
            rows.append(world.rows())
    return rows


@pytest.fixture
def world(before: Path, tmp_path: Path) -> Iterator[World]:
    copy_of(before, tmp_path / "ledger.sqlite")
    with world_of(tmp_path, CANDLES) as world:
        yield world


def polled(poller: Poller) -> int | None:
    """Bars decided, None where the exchange's answer was refused."""
    try:
        return poll(poller)
    except ExchangeError:
        return None


def recovered(poller: Poller) -> None:
    """Poll until the exchange has answered: a loaded machine may need more than one try within a short timeout."""
    for _ in range(50):
        if polled(poller) is not None:
            return
    raise AssertionError("the exchange is well, and the poller does not notice")


def is_part_of(rows: Rows, whole: Rows) -> bool:
    """Whether every candle, decision and fill is one of those in `whole`."""
    return all(set(rows[name]) <= set(whole[name]) for name in ("candles", "decisions", "fills"))


@pytest.mark.parametrize("on", ["candles", "all"])
@pytest.mark.parametrize("name", sorted(FAULTS - TRUE))
def test_no_wrong_row_under_a_fault_and_none_missing_after_it(
    world: World, right: list[Rows], name: str, on: str
) -> None:
    exchange = {"base_url": world.exchange.url, "timeout_seconds": 0.25 if name in HANGING else 30.0}
    with world.poller(MODEL, exchange=exchange) as poller:
        world.dial.now = START + (LAST + 1) * HOUR + 30
        recovered(poller)
        world.dial.now = START + (NOW + 1) * HOUR + 30
        world.exchange.fault = Fault(name, "all" if on == "all" else "candles")
        polls = [polled(poller), polled(poller)]
        assert is_part_of(world.rows(), right[0])
        if name in HARMLESS | {"revision"}:
            assert polls == [3, 0]
        elif name not in {"stale", "print_10x"}:
            assert polls == [None, None]
        world.exchange.fault = None
        recovered(poller)
        assert world.rows() == right[0]
        world.run(poller, [NOW + 1])
        assert world.rows() == right[1]


@pytest.mark.parametrize("name", sorted(FAULTS - TRUE - HARMLESS - HANGING - {"revision", "print_10x", "stale"}))
def test_a_fresh_ledger_does_not_begin_on_nonsense(tmp_path: Path, name: str) -> None:
    with world_of(tmp_path, CANDLES) as world, world.poller(MODEL) as poller:
        world.dial.now = START + (NOW + 1) * HOUR + 30
        world.exchange.fault = Fault(name, "all")
        assert polled(poller) is None
        assert not any(world.rows().values())
        world.exchange.fault = None
        assert polled(poller) == 1


def test_an_hour_that_is_missing_is_synthetic_and_stays_so(world: World, right: list[Rows]) -> None:
    with world.poller(MODEL) as poller:
        world.dial.now = START + (NOW + 1) * HOUR + 30
        world.exchange.fault = Fault("gap")  # every seventh hour, 38 among them
        assert polled(poller) == 3
        rows = world.rows()
        assert [row[3] for row in rows["decisions"][-3:]] == [MISSED, SYNTHETIC, POLICY]
        close = CANDLES[37].close
        assert rows["candles"][-2] == ("bitfinex:BTC/USD:1h", START + 38 * HOUR, close, close, close, close, 0.0, 1)
        assert events_at(world.url) == ["gap"]
        world.exchange.fault = None
        assert polled(poller) == 0
        assert events_at(world.url) == ["gap", "revision"]
        assert world.rows() == rows
        with poller.ledger.reading() as connection:
            assert verify(connection) == (10, [])
    assert rows["decisions"][:-2] == right[0]["decisions"][:-2]


def test_a_revised_candle_is_an_event_and_no_second_decision(world: World, right: list[Rows]) -> None:
    with world.poller(MODEL) as poller:
        world.run(poller, [LAST])
        world.exchange.fault = Fault("revision")
        for hour in (NOW, NOW):
            world.run(poller, [hour])
    assert world.rows() == right[0]
    assert events_at(world.url) == ["revision"]


@pytest.mark.parametrize(("name", "bars"), [("clock_ahead", 3), ("clock_behind", 1)])
def test_nothing_is_traded_on_a_clock_that_is_far_off(world: World, name: str, bars: int) -> None:
    """An exchange that is two hours behind has not closed the newest two candles yet."""
    with world.poller(MODEL) as poller:
        world.dial.now = START + (NOW + 1) * HOUR + 30
        world.exchange.fault = Fault(name, "all")
        assert [polled(poller), polled(poller)] == [bars, 0]
        assert [row[2:4] for row in world.rows()["decisions"][-bars:]] == [("hold", CLOCK)] * bars
        assert events_at(world.url) == ["clock_skew"]
        world.exchange.fault = None
        assert polled(poller) == 3 - bars
        assert events_at(world.url) == ["clock_skew", "clock_skew_over"]
        with poller.ledger.reading() as connection:
            assert verify(connection) == (10, [])


def moved(hour: int, factor: float, last: int = 60) -> list[Candle]:
    """CANDLES with the prices of the hours from `hour` up to `last` multiplied."""
    return [
        Candle(c.bar_time, *(price * factor for price in c[1:5]), c.volume) if hour <= i < last else c
        for i, c in enumerate(CANDLES)
    ]


def test_a_print_that_the_ticker_denies_waits_for_the_next_candle(world: World) -> None:
    world.exchange.candles = moved(NOW, 3.0, NOW + 1)
    with world.poller(MODEL) as poller:
        world.run(poller, [NOW])
        assert world.rows()["decisions"][-1][1] == START + (NOW - 1) * HOUR
        world.run(poller, [NOW])
        assert events_at(world.url) == ["suspect"]
        world.run(poller, [NOW + 1])  # it still stands
        rows = world.rows()
        assert [row[3] for row in rows["decisions"][-2:]] == [MISSED, POLICY]
        assert rows["candles"][-2][5] == 3 * CANDLES[NOW].close
        with poller.ledger.reading() as connection:
            assert verify(connection).differences == []


@pytest.mark.parametrize("factor", [2.5, 0.4])
def test_a_move_that_the_ticker_confirms_is_believed_at_once(world: World, factor: float) -> None:
    world.exchange.candles = moved(NOW, factor)
    with world.poller(MODEL) as poller:
        world.run(poller, [NOW])
    last = world.rows()["decisions"][-1]
    assert last[1:4:2] == (START + NOW * HOUR, POLICY)
    assert events_at(world.url) == []


def test_an_exchange_that_contradicts_the_whole_past_is_not_believed(world: World, right: list[Rows]) -> None:
    world.exchange.candles = moved(0, 10.0)
    with world.poller(MODEL) as poller:
        with pytest.raises(ExchangeError, match="contradicts the ledger"):
            world.run(poller, [NOW])
        world.exchange.candles = CANDLES
        world.run(poller, [NOW])
    assert world.rows() == right[0]


def test_an_answer_with_a_hole_is_asked_for_twice(world: World, right: list[Rows]) -> None:
    """One of two answers lacks an hour: neither is believed."""
    with world.poller(MODEL) as poller:
        ask = poller.feed.closed_candles
        answers: list[list[Candle]] = []

        def forgetful(since: int) -> list[Candle]:
            candles = ask(since)
            answers.append(candles[:-2] + candles[-1:] if not answers else candles)
            return answers[-1]

        poller.feed.closed_candles = forgetful  # type: ignore[method-assign]
        with pytest.raises(ExchangeError, match="two different answers"):
            world.run(poller, [NOW])
        world.run(poller, [NOW])
    assert [len(one) != len(other) for one, other in pairwise(answers)] == [True, False]
    assert world.rows() == right[0]


def test_the_rows_of_an_undisturbed_run_are_proven(right: list[Rows], world: World) -> None:
    with world.poller(MODEL) as poller:
        world.run(poller, [NOW, NOW + 1])
        with poller.ledger.reading() as connection:
            assert verify(connection) == (11, [])
    assert rows_at(world.url) == right[1]
