"""The loop through hours and weeks on a simulated machine: what it asks, what it says, and what it survives."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot.clock import Clock
from bot.errors import ExchangeError, ExchangeRefusedError, LedgerUnavailableError, UsageError
from bot.ledger import Ledger, open_writer, verify
from bot.market import Candle
from bot.market.exchange import Ticker
from bot.market.retry import REFUSALS
from bot.model import save_model
from bot.service import Markets, Poller, TraderWatcher, loop, market, once, run
from bot.simulator import generate_candles
from bot.simulator.generate import START
from tests.harness import HOUR, InlineWaiter, Rows, all_rows, events_at, model_of, settings_of

MODEL = model_of(1)
CANDLES = generate_candles(600, seed=5, holes=0, quiet=0)
FIRST = 30  # the hour that has closed at the start
DELAY = 20.0


class Machine(InlineWaiter):
    """A machine on which waiting takes no time: its monotonic clock moves when the loop waits, and stops it at `end`.

    Its wall clock runs `speed` times as fast, and jumps where the test says so.
    """

    def __init__(self, speed: float, hours: float) -> None:
        super().__init__()
        self.seconds, self.end = 0.0, hours * HOUR / speed
        self.jump = 0.0
        self.at: dict[float, Callable[[], object]] = {}
        self.clock = Clock(START + (FIRST + 1) * HOUR + DELAY, speed, source=lambda: self.seconds + self.jump / speed)

    def wait(self, seconds: float) -> None:
        self.seconds += max(seconds, 1e-6)
        for moment in [moment for moment in self.at if moment <= self.seconds]:
            self.at.pop(moment)()
        if self.seconds >= self.end:
            self.stop()


class Exchange:
    """Candles that have closed by the machine's clock, or the trouble that the test makes; notes when it is asked."""

    def __init__(self, clock: Clock, candles: Sequence[Candle] = CANDLES) -> None:
        self.clock, self.candles = clock, candles
        self.skew: float | None = 0.0
        self.asked: list[float] = []
        self.first_asked: float | None = None
        self.trouble: Callable[[float], Exception | None] = lambda _now: None

    def closed_candles(self, since: int) -> list[Candle]:
        now = self.clock.now()
        self.asked.append(now)
        if trouble := self.trouble(now):
            raise trouble
        return [candle for candle in self.candles if since <= candle.bar_time <= now - HOUR]

    def ticker(self) -> Ticker:
        raise ExchangeError("no ticker")

    def cut(self) -> None:
        raise AssertionError("nothing hangs here")


class Run:
    """The daemon on a machine, with an exchange, on a ledger in memory or at a URL."""

    def __init__(self, folder: Path, hours: float, speed: float, ledger: str = "sqlite://", **schedule: Any) -> None:
        if not (folder / "model").exists():
            save_model(MODEL, folder / "model")
        self.settings = settings_of(
            policy={"model": str(folder / "model")},
            schedule={"warmup_bars": 5, "poll_delay_seconds": DELAY} | schedule,
        )
        self.machine = Machine(speed, hours)
        self.exchange = Exchange(self.machine.clock)
        self.ledger: Ledger = open_writer(ledger)

    def go(self, monkeypatch: pytest.MonkeyPatch) -> Rows:
        """Run to the end; the ledger's rows, proven."""
        for module in (loop, market):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.machine.seconds))
        watcher = TraderWatcher(self.settings)
        clock, feed = self.machine.clock, self.exchange
        markets = Markets(watcher, clock, self.ledger, lambda _: feed)  # type: ignore[arg-type,return-value]
        run(markets, self.settings.schedule.poll_delay_seconds, self.machine)
        with self.ledger.reading() as connection:
            assert verify(connection).differences == []
        rows = all_rows(self.ledger)
        self.ledger.close()
        return rows


def hours_of(rows: Rows) -> list[int]:
    return [(row[1] - START) // HOUR for row in rows["decisions"]]


def said(lines: list[Any]) -> Counter[str]:
    """How often what was logged, apart from the line of each bar, the heartbeat and what only --verbose shows."""
    shown = [line["event"] for line in lines if line["log_level"] != "debug"]
    return Counter(event for event in shown if event not in ("bar", "heartbeat"))


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before + 2


def test_every_bar_is_decided_within_a_tick_of_its_delay_without_any_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: list[Any]
) -> None:
    """The scheduler's alarm runs by the real clock, so it never rings on this machine."""
    run = Run(tmp_path, hours=6, speed=1.0)
    assert hours_of(run.go(monkeypatch)) == list(range(FIRST, FIRST + 6))
    due = [START + (FIRST + 1 + i) * HOUR + DELAY for i in range(6)]
    assert [asked - moment for asked, moment in zip(run.exchange.asked, due, strict=True)] == [
        pytest.approx(0.0, abs=loop.TICK_SECONDS)
    ] * 6
    assert said(log_lines) == {"started": 1, "stopped": 1}


@pytest.mark.parametrize("jump", [-7200.0, -60.0, 60.0, 3 * HOUR])
def test_a_clock_that_is_set_leaves_no_bar_out_and_decides_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    run = Run(tmp_path, hours=8.5, speed=10.0)
    run.machine.at[2.5 * HOUR / 10] = lambda: setattr(run.machine, "jump", jump)
    hours = hours_of(run.go(monkeypatch))
    assert hours == list(range(FIRST, FIRST + len(hours)))
    assert len(hours) == 9 + round(jump / HOUR)


def test_an_outage_of_a_week_is_a_handful_of_lines_and_ends_in_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: list[Any]
) -> None:
    ledger = f"sqlite:///{tmp_path}/ledger.sqlite"
    run = Run(tmp_path, hours=24 * 7 + 9.5, speed=600.0, ledger=ledger)
    down, up = START + (FIRST + 5) * HOUR, START + (FIRST + 5 + 24 * 7) * HOUR
    run.exchange.trouble = lambda now: ExchangeError("it is down") if down <= now < up else None
    rows = run.go(monkeypatch)
    hours = hours_of(rows)
    assert hours == list(range(FIRST, hours[-1] + 1))
    assert len(hours) == 24 * 7 + 10
    assert [row[3] for row in rows["decisions"]].count("missed") in (24 * 7 - 1, 24 * 7)
    lines, events = said(log_lines), Counter(events_at(ledger))
    assert lines["exchange_recovered"] == events["exchange_recovered"] == 1
    assert 4 <= lines["exchange_error"] == events["exchange_error"] <= 12
    assert len(lines) == 4
    asked = [now for now in run.exchange.asked if down <= now < up]
    waits = [later - now for now, later in pairwise(asked)]
    assert 1 <= min(waits) < 10
    assert 100 < max(waits) <= 300 + 600
    assert len(asked) > 24 * 7 * 60 / 15
    assert min(now for now in run.exchange.asked if now >= up) < up + 900


def test_an_exchange_that_keeps_refusing_is_asked_hourly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, hours=24, speed=60.0)
    run.exchange.trouble = lambda _now: ExchangeRefusedError("not in your region")
    run.go(monkeypatch)
    waits = [later - now for now, later in pairwise(run.exchange.asked)]
    assert len(waits) >= 22
    assert max(waits[: REFUSALS - 1]) < 60
    assert min(waits[REFUSALS - 1 :]) >= HOUR


def test_retry_after_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, hours=5, speed=60.0)
    run.exchange.trouble = lambda _now: ExchangeError("slow down", retry_after=1500.0)
    run.go(monkeypatch)
    waits = [later - now for now, later in pairwise(run.exchange.asked)]
    assert len(waits) >= 10
    assert 1500 <= min(waits) <= max(waits) <= 1600


def test_a_candle_that_is_late_is_asked_for_again_ever_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is traded in an hour: no candle, no decision, no error, no flood of questions."""
    run = Run(tmp_path, hours=2.99, speed=1.0)
    late = {START + (FIRST + 1) * HOUR}
    run.exchange.candles = [candle for candle in CANDLES if candle.bar_time not in late]
    rows = run.go(monkeypatch)
    assert [row[3] for row in rows["decisions"]] == ["policy", "synthetic", "policy"]
    between = [now for now in run.exchange.asked if START + (FIRST + 2) * HOUR <= now < START + (FIRST + 3) * HOUR]
    assert 10 <= len(between) <= 20


def test_a_ledger_without_room_is_waited_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: list[Any]
) -> None:
    """Ten hours in which no transaction can be committed: said, survived, and every bar is there afterwards."""
    run = Run(tmp_path, hours=19.5, speed=60.0, catch_up="trade")
    right = Run(tmp_path, hours=19.5, speed=60.0, catch_up="trade").go(monkeypatch)
    log_lines.clear()
    room = run.ledger
    full = SimpleNamespace(now=False)

    class Cramped(Ledger):
        def writing(self) -> Any:
            if full.now:
                raise LedgerUnavailableError("the ledger cannot be used now: database or disk is full")
            return room.writing()

    run.ledger = Cramped(room.engine, room.name)
    run.machine.at = {4.5 * 60: lambda: setattr(full, "now", True), 14.5 * 60: lambda: setattr(full, "now", False)}
    assert run.go(monkeypatch) == right
    lines = said(log_lines)
    assert lines["ledger_recovered"] == 1
    assert 1 <= lines["ledger_unavailable"] <= 6
    assert lines["event_lost"] == lines["ledger_unavailable"]


@pytest.mark.parametrize("delay", [1e6, 1e300, 1.7976931348623157e308])
def test_an_enormous_delay_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delay: float) -> None:
    run = Run(tmp_path, hours=5, speed=60.0, poll_delay_seconds=delay, max_decision_delay_seconds=delay)
    assert hours_of(run.go(monkeypatch)) == [FIRST]


def test_no_delay_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, hours=5, speed=60.0, poll_delay_seconds=0.0)
    assert hours_of(run.go(monkeypatch)) == list(range(FIRST, FIRST + 6))[: len(run.exchange.asked)]


def test_wrong_usage_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, hours=5, speed=60.0)
    run.exchange.trouble = lambda _now: UsageError("exchange.symbol = 'BTC/USX' is not a market of bitfinex")
    with pytest.raises(UsageError, match="BTC/USX"):
        run.go(monkeypatch)
    run.ledger.close()


def test_poll_once_tries_for_half_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, hours=5, speed=1.0)
    monkeypatch.setattr(once, "time", SimpleNamespace(monotonic=lambda: run.machine.seconds))
    watcher = TraderWatcher(run.settings)
    clock, feed = run.machine.clock, run.exchange
    poller = Poller(run.settings, clock, run.ledger, watcher.traders, feed)  # type: ignore[arg-type]

    def poll_once() -> int:
        feed.first_asked = None
        attempts = once.poll_once([poller], run.machine)
        once.raise_failures(attempts)
        return attempts[0].bars

    feed.trouble = lambda _now: ExchangeError("it is down")
    with pytest.raises(ExchangeError, match="it is down"):
        poll_once()
    assert 3 <= len(feed.asked) <= 8
    assert 10 <= feed.asked[-1] - feed.asked[0] <= once.ONCE_SECONDS
    feed.asked.clear()
    feed.trouble = lambda _now: ExchangeRefusedError("not in your region")
    with pytest.raises(ExchangeRefusedError):
        poll_once()
    assert len(feed.asked) == 1
    feed.trouble = lambda _now: ExchangeError("once") if len(feed.asked) < 3 else None
    assert poll_once() == 1
    run.ledger.close()
