"""A daemon in miniature: a loopback exchange, a clock that the test moves, models that trade, and a ledger's rows."""

import atexit
import dataclasses
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import select

from bot.clock import Clock
from bot.ledger import Ledger, open_reader, open_writer, tables
from bot.market import Candle, Feed
from bot.model import (
    ARTICLE,
    Features,
    Model,
    NetworkSizes,
    NetworkSpec,
    build_ensemble,
    build_model,
    get_features,
    save_model,
)
from bot.service import Poller, Waiter, replay_candles
from bot.service.waiter import Answer
from bot.settings import Settings
from bot.simulator import LoopbackExchange, generate_candles
from bot.simulator.generate import START
from bot.trading import AccountTerms, Trader, terms_of

HOUR = 3600
MARKET = "bitfinex:BTC/USD:1h"
PROVEN = ("accounts", "account_limits", "models", "candles", "decisions", "fills", "states")

Rows = dict[str, list[tuple[Any, ...]]]


@cache
def model_of(
    seed: int, features: Features = ARTICLE, account_at: str = "input", bias: tuple[float, ...] = (0.0, 0.0, 0.0)
) -> Model:
    """A small model of random weights, large enough for its probabilities to move; `bias` tips hold, buy and sell."""
    sizes = NetworkSizes(len(features.market_names), len(features.account_names), 8, 6, account_at)
    chance = np.random.default_rng(seed)
    tensors = {
        name: chance.normal(0.0, 0.7, shape).astype(np.float32) for name, shape in sorted(sizes.shapes().items())
    }
    tensors["fc_pi.bias"] = np.array(bias, dtype=np.float32)
    return build_model(tensors, NetworkSpec(8, 6, account_at), features)  # type: ignore[arg-type]  # one of two words


@cache
def busy_model() -> Model:
    """A model of the size that the default training makes where it finds timing, with random weights."""
    features = get_features("slow")
    sizes = NetworkSizes(len(features.market_names), len(features.account_names), 64, 32, "heads")
    chance = np.random.default_rng(1)
    members = [{name: chance.normal(0, 0.2, shape) for name, shape in sizes.shapes().items()} for _ in range(4)]
    return build_ensemble(members, NetworkSpec(64, 32, "heads"), features)


@cache
def busy_model_folder() -> Path:
    """That model in a folder that lasts as long as the process."""
    folder = Path(tempfile.mkdtemp(prefix="hourhand-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    save_model(busy_model(), folder / "model")
    return folder / "model"


def settings_of(**sections: Mapping[str, Any]) -> Settings:
    """Settings with some keys changed: `settings_of(account={"name": "b"})`."""
    return msgspec.convert(sections, Settings)


@dataclasses.dataclass
class Dial:
    """The hands of a clock, in Unix seconds; the test moves them."""

    now: float

    def __call__(self) -> float:
        return self.now

    @property
    def clock(self) -> Clock:
        """The clock that shows it."""
        return Clock(source=self, simulated=True)


class InlineWaiter(Waiter):
    """Makes requests in the thread that asks."""

    def start(self, request: Callable[[], Any]) -> Answer:
        answer = Answer()
        answer.fill(request)
        return answer


def poll(poller: Poller) -> int:
    """A poll to its end, its requests made in this thread; how many bars it decided."""
    steps = poller.steps()
    try:
        request = next(steps)
        while True:
            try:
                answer = request and request()
            except Exception as error:  # noqa: BLE001 - as the thread that makes a request does
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as end:
        return int(end.value)


@dataclasses.dataclass
class World:
    """A loopback exchange at a time that the test sets, and pollers on ledgers in a folder."""

    exchange: LoopbackExchange
    dial: Dial
    folder: Path

    @property
    def url(self) -> str:
        """The usual ledger."""
        return f"sqlite:///{self.folder}/ledger.sqlite"

    def settings(self, **sections: Mapping[str, Any]) -> Settings:
        """Settings that meet the loopback exchange, with a short warm-up."""
        defaults: dict[str, dict[str, Any]] = {
            "exchange": {"base_url": self.exchange.url},
            "schedule": {"warmup_bars": 20},
            "ledger": {"url": self.url},
        }
        names = {*defaults, *sections}
        return settings_of(**{name: {**defaults.get(name, {}), **sections.get(name, {})} for name in names})

    @contextmanager
    def poller(self, model: Model, **sections: Mapping[str, Any]) -> Iterator[Poller]:
        """A poller on the ledger, opened and closed."""
        settings = self.settings(**sections)
        ledger = open_writer(settings.ledger.url)
        try:
            trader = Trader(terms_of(settings), model, settings.policy.mode)
            feed = Feed(settings.exchange, self.dial.clock)
            yield Poller(settings, self.dial.clock, ledger, [trader], feed)
        finally:
            ledger.close()

    def run(self, poller: Poller, hours: Sequence[int], second: float = 30.0) -> None:
        """Poll once, `second` seconds after the close of each of the bars numbered from the first candle's hour."""
        for hour in hours:
            self.dial.now = START + (hour + 1) * HOUR + second
            poll(poller)

    def rows(self, url: str | None = None) -> Rows:
        """Every proven row of the ledger."""
        return rows_at(url or self.url)


@contextmanager
def world_of(folder: Path, candles: Sequence[Candle] | None = None, bar: int = HOUR) -> Iterator[World]:
    """A world with generated candles from START on (no holes), or with the given ones of `bar` seconds."""
    shown = generate_candles(400, seed=3, holes=0.0, quiet=0.02) if candles is None else candles
    dial = Dial(shown[0].bar_time + bar)
    with LoopbackExchange(shown, dial.clock, bar=bar) as exchange:
        yield World(exchange, dial, folder)


def all_rows(ledger: Ledger) -> Rows:
    """The rows of every table that `verify` proves, in the order of their primary keys."""
    with ledger.reading() as connection:
        return {
            name: [
                tuple(row)
                for row in connection.execute(
                    select(tables.metadata.tables[name]).order_by(*tables.metadata.tables[name].primary_key.columns)
                )
            ]
            for name in PROVEN
        }


def rows_at(url: str) -> Rows:
    """`all_rows` of the ledger at `url`."""
    ledger = open_reader(url)
    try:
        return all_rows(ledger)
    finally:
        ledger.close()


def events_at(url: str) -> list[str]:
    """The kinds of all events, oldest first."""
    ledger = open_reader(url)
    try:
        with ledger.reading() as connection:
            return list(connection.execute(select(tables.events.c.kind).order_by(tables.events.c.id)).scalars())
    finally:
        ledger.close()


def filled(file: Path, model: Model, bars: int = 30) -> Path:
    """A ledger of a replay of generated candles, 10 of them warm-up."""
    ledger = open_writer(f"sqlite:///{file}")
    replay_candles(
        ledger, Trader(AccountTerms("main", MARKET), model), generate_candles(10 + bars, seed=5, holes=0, quiet=0), 10
    )
    ledger.close()
    return file


def copy_of(file: Path, target: Path) -> Path:
    """A whole copy of an SQLite file, its write-ahead log included."""
    source, copy = sqlite3.connect(file), sqlite3.connect(target)
    source.backup(copy)
    copy.close()
    source.close()
    return target


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without anything of ours, and with `changes`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HOURHAND_")} | changes


def hourhand(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """`hourhand ARGUMENTS` as a process of its own, in a folder of its own."""
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=cwd,
        env=environment(PYTHONPATH=str(Path(__file__).parents[1]), **env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def resident() -> float:
    """Resident memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
