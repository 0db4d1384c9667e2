"""The acts: a start, an outage, a kill in the middle of a bar, an hour that the exchange does not have, the end."""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from bot.clock import Clock, read_clock
from bot.demo.processes import Daemon, Line
from bot.errors import HourhandError
from bot.ledger import reading, reading_from
from bot.model import SHIPPED_POINTER, is_default_pointer, registry
from bot.report import when
from bot.settings import Settings
from bot.simulator import OUTAGE, LoopbackExchange, beside, generate_candles, market_tables
from bot.trading import MISSED, SYNTHETIC

HOUR: Final = 3600
ACCOUNT: Final = Settings().account.name
PATIENCE_HOURS: Final = 48  # of the demo's daemon: its hours pass too quickly for the settings' fifteen minutes
OUTAGE_HOURS: Final = 60
_SEED: Final = 7
_BEFORE: Final = 600  # closed candles at the start: the warm-up, and some to spare
_AFTER: Final = 200  # further than the start can be late
_FASTEST: Final = 36_000.0  # ten bars a second
_RESTART_HOURS: Final = 30.0  # that a restart may take on the demo's clock, well below its patience
_POINT: Final = "insert decisions"

Tell = Callable[[str], object]


class Scenario(NamedTuple):
    """When what happens: `bars` in all; the others in bars from the first one on. `markets` are traded, of which the
    story is told of the first.
    """

    bars: int = 336
    outage: int = 72
    kill: int = 200
    hole: int = 290
    markets: int = 1


@dataclass
class ScenarioResult:
    """What happened. Times are bar times in Unix seconds; `bar_lines` counts the log's lines of each bar, `events` its
    others. `dark` is from when until when the exchange was down, on the demo's clock.
    """

    first: int = 0
    last: int = 0
    hole: int = 0
    dark: tuple[float, float] = (0.0, 0.0)
    last_before_kill: int = 0
    half_bar_left: bool = True
    killed_with: int = 0
    resumed_at: int = 0
    stopped_with: int = -1
    bar_lines: Counter[int] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)


class Sandbox:
    """An exchange with generated prices, a clock that every process of the demo shares, and a daemon's settings."""

    def __init__(self, exchange: LoopbackExchange, config: Path, ledger_url: str, scenario: Scenario) -> None:
        self.exchange, self.config, self.ledger_url, self.scenario = exchange, config, ledger_url, scenario
        self.clock_text = ""

    def start_clock(self, seconds_to_start: float) -> float:
        """Let time run, as fast as a daemon that takes so long to start can follow; how many times too fast."""
        fastest = _FASTEST / max(1.0, self.scenario.markets / 2)
        speed = min(fastest, _RESTART_HOURS * HOUR / seconds_to_start)
        start = self.exchange.candles[_BEFORE].bar_time
        self.clock_text = f"@{start}x{speed:.0f}@{time.time():.3f}"
        self.exchange.clock = read_clock(self.clock_text)
        return speed

    @property
    def still_clock(self) -> str:
        """A clock for commands that only look: it shows what the exchange's shows now."""
        return f"@{self.exchange.clock.now():.0f}"


@contextmanager
def open_sandbox(folder: Path, base: Settings, scenario: Scenario) -> Iterator[Sandbox]:
    """Open the exchange and write the settings, `bot.toml`, into `folder`; `base` says which model decides."""
    candles = generate_candles(_BEFORE + scenario.bars + _AFTER, _SEED, holes=0.0)
    start = Clock(start=float(candles[_BEFORE].bar_time), speed=0.0, simulated=True)
    others = beside(candles, scenario.markets, _SEED, HOUR)
    with LoopbackExchange(candles, start, others=others) as exchange:
        config = folder / "bot.toml"
        url = f"sqlite:///{folder.resolve()}/ledger.sqlite"
        model = base.policy.model
        if registry.is_path(model):
            pointer = Path(model)
            is_missing = is_default_pointer(pointer) and not pointer.exists()
            named = SHIPPED_POINTER if is_missing else pointer
            model = str(registry.resolve_model(named).resolve())  # not its pointer, nor the pauses beside it
        config.write_text(
            f"[exchange]\nbase_url = {json.dumps(exchange.url)}\n\n"
            f"[policy]\nmodel = {json.dumps(model)}\nmode = {json.dumps(base.policy.mode)}\n\n"
            f"[schedule]\nmax_decision_delay_seconds = {PATIENCE_HOURS * HOUR}\n\n"
            f"[ledger]\nurl = {json.dumps(url)}\n" + market_tables(list(others))
        )
        yield Sandbox(exchange, config, url, scenario)


def run_scenario(sandbox: Sandbox, tell: Tell, show: Callable[[Line, ScenarioResult], object]) -> ScenarioResult:
    """All acts, `tell` narrating each as it happens and `show` given every line of the daemon's log.

    Raises HourhandError where the daemon falls silent or ends when it should not.
    """
    result = ScenarioResult()
    killer = ("--point", _POINT, "--bar", str(sandbox.scenario.kill * sandbox.scenario.markets))
    with Daemon(sandbox.config, sandbox.clock_text, killer) as daemon:
        reader = _LogReader(daemon, result, show)
        _start(sandbox, reader)
        _outage(sandbox, reader, tell)
        _kill(sandbox, reader, tell)
    with Daemon(sandbox.config, sandbox.clock_text) as daemon:
        reader = _LogReader(daemon, result, show)
        _restart(reader, tell)
        _hole(reader, tell)
        reader.until(lambda line: line.get("bar_time") == result.last)
        result.stopped_with = daemon.stop()
    return result


class _LogReader:
    """Reads a daemon's log, counts, and hands every line on."""

    def __init__(self, daemon: Daemon, result: ScenarioResult, show: Callable[[Line, ScenarioResult], object]) -> None:
        self.daemon, self.result, self.show = daemon, result, show

    def until(self, is_it: Callable[[Line], bool]) -> Line:
        """The first line for which `is_it`."""
        while line := self._next():
            if is_it(line):
                return line
        raise self.daemon.failure(f"ended by itself with {self.daemon.end()}")

    def to_the_end(self) -> int:
        """How the daemon ended."""
        while self._next():
            continue
        return self.daemon.end()

    def for_seconds(self, seconds: float) -> None:
        """Whatever it says in that time."""
        deadline = time.monotonic() + seconds
        try:
            while line := self.daemon.next_line(deadline - time.monotonic()):
                self._take(line)
        except TimeoutError:
            return
        raise self.daemon.failure(f"ended by itself with {self.daemon.end()}")

    def _next(self) -> Line | None:
        try:
            line = self.daemon.next_line()
        except TimeoutError:
            raise self.daemon.failure("fell silent") from None
        return None if line is None else self._take(line)

    def _take(self, line: Line) -> Line:
        if is_bar(line):
            line["bar_time"] = int(datetime.fromisoformat(line["time"]).timestamp())
            self.result.first = self.result.first or line["bar_time"]
            self.result.bar_lines[line["bar_time"]] += 1
        elif line["event"] != "bar":
            self.result.events[line["event"]] += 1
        self.show(line, self.result)
        return line


def _start(sandbox: Sandbox, reader: _LogReader) -> None:
    """The first bar says where the two weeks begin: the exchange has them to their end, less one hour."""
    result = reader.result
    reader.until(is_bar)
    result.last = result.first + (sandbox.scenario.bars - 1) * HOUR
    result.hole = result.first + sandbox.scenario.hole * HOUR
    candles = sandbox.exchange.candles
    sandbox.exchange.candles = [c for c in candles if c.bar_time <= result.last and c.bar_time != result.hole]
    reader.until(lambda line: is_bar(line) and line["bar_time"] >= result.first + sandbox.scenario.outage * HOUR)


def _outage(sandbox: Sandbox, reader: _LogReader, tell: Tell) -> None:
    exchange, result = sandbox.exchange, reader.result
    tell(f"The exchange goes down for some {OUTAGE_HOURS} hours. The daemon backs off and asks on.")
    went = exchange.clock.now()
    exchange.fault = OUTAGE
    reader.for_seconds(exchange.clock.real(OUTAGE_HOURS * HOUR))
    exchange.fault = None
    result.dark = (went, exchange.clock.now())
    tell(f"The exchange is back. What closed over {PATIENCE_HOURS} hours ago is observed, not traded on.")
    reader.until(lambda line: is_bar(line) and line["reason"] == MISSED)
    reader.until(lambda line: is_bar(line) and line["reason"] != MISSED)


def _kill(sandbox: Sandbox, reader: _LogReader, tell: Tell) -> None:
    result = reader.result
    result.killed_with = reader.to_the_end()
    if result.killed_with != -signal.SIGKILL:
        raise reader.daemon.failure(f"ended by itself with {result.killed_with}")
    with reading_from(sandbox.ledger_url) as connection:
        head = reading.read_state(connection, ACCOUNT)
        if head is None:
            raise HourhandError("the demo's daemon was killed, and its ledger is empty")
        result.last_before_kill = head.bar_time
        result.half_bar_left = bool(reading.read_candles_between(connection, Settings().market, head.bar_time + HOUR))
    tell(f"kill -9 while the bar of {when(head.bar_time + HOUR)} is written. The ledger ends before it.")


def _restart(reader: _LogReader, tell: Tell) -> None:
    line = reader.until(is_bar)
    reader.result.resumed_at = line["bar_time"]
    tell(f"Started again, it goes on with {when(line['bar_time'])}, and catches up.")


def _hole(reader: _LogReader, tell: Tell) -> None:
    line = reader.until(lambda line: is_bar(line) and line["reason"] == SYNTHETIC)
    tell(f"The exchange never had a candle of {when(line['bar_time'])}: a flat one takes its place.")


def is_bar(line: Line) -> bool:
    """Whether the line is of a bar of the first market."""
    return bool(line["event"] == "bar" and line.get("account", ACCOUNT) == ACCOUNT)
