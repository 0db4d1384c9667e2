"""A ledger of everything that can happen is proven, and every single change to it is found."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from bot.ledger import verify
from bot.ledger.engines import sqlite_engine
from bot.model.features import RETURNS
from bot.simulator import generate_candles
from bot.simulator.generate import START
from tests.harness import HOUR, model_of, world_of

FIRST = model_of(1)
SECOND = model_of(2, RETURNS, "heads")
BUYER = model_of(3, bias=(-9.0, 9.0, -9.0))
WORDS: dict[str, Sequence[str]] = {
    "action": ("hold", "buy", "sell"),
    "reason": ("policy", "minimum", "synthetic", "missed", "clock"),
    "mode": ("sample", "argmax"),
    "side": ("buy", "sell"),
    "fill": ("close", "quote"),
    "model_id": (FIRST.model_id, SECOND.model_id, BUYER.model_id, "nobody"),
    "account": ("main", "buyer", "nobody"),
    "market": ("bitfinex:BTC/USD:1h", "bitfinex:ETH/USD:1h", "bitfinex:BTC/USD:1d", "nonsense"),
}
# Where a model comes from and how it did is told, not proven; a hidden state may differ in its last bits.
UNPROVEN = {"manifest", "weights", "hidden"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two accounts, three models, a hole, an absence, quotes, slippage, and a trade below the minimum."""
    folder = tmp_path_factory.mktemp("ledger")
    candles = [
        candle for candle in generate_candles(60, seed=5, holes=0, quiet=0) if candle.bar_time != START + 14 * HOUR
    ]
    quoting = {"schedule": {"warmup_bars": 4}, "account": {"fill": "quote", "slippage_bps": 5.0}}
    with world_of(folder, candles) as world:
        with world.poller(FIRST, **quoting) as poller:
            world.run(poller, [*range(10, 14), 15, 16, 20])
        with world.poller(SECOND, **quoting) as poller:
            world.run(poller, range(21, 25))
        with world.poller(
            BUYER,
            schedule={"warmup_bars": 7},
            account={"name": "buyer", "initial_balance": 9.0, "limits": "exchange"},
            policy={"mode": "argmax", "seed": 7},
        ) as poller:
            world.run(poller, range(25, 30))
        rows = world.rows()
    assert {row[3] for row in rows["decisions"]} == {"policy", "minimum", "synthetic", "missed"}
    assert sum(row[16] is not None for row in rows["decisions"]) > 5
    assert len(rows["fills"]) > 6
    assert [len(rows[name]) for name in ("accounts", "account_limits", "models", "states")] == [2, 1, 3, 2]
    return folder / "ledger.sqlite"


@pytest.fixture(scope="module")
def engine(file: Path) -> Iterator[Engine]:
    engine = sqlite_engine(file.as_uri())
    raw = engine.raw_connection()
    cursor = raw.cursor()
    cursor.execute("PRAGMA ignore_check_constraints=ON")
    cursor.execute("PRAGMA foreign_keys=OFF")
    raw.close()
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection


def missed(ledger: Connection, changes: Sequence[tuple[str, Sequence[Any]]]) -> list[object]:
    """The changes, each made alone to the ledger and taken back, in which `verify` finds nothing wrong."""
    unseen: list[object] = []
    for statement, values in changes:
        try:
            if ledger.exec_driver_sql(statement, tuple(values)).rowcount != 1:
                unseen.append(("changes nothing", statement, values))
            elif not verify(ledger).differences:
                unseen.append((statement, values))
        except IntegrityError:  # the database has a row of that key
            continue
        finally:
            ledger.rollback()
    return unseen


def rows_of(ledger: Connection, table: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    found = ledger.exec_driver_sql(f"SELECT rowid, * FROM {table}")
    return list(found.keys())[1:], [tuple(row) for row in found]


def others(column: str, cell: Any) -> list[Any]:
    """What stands in the place of a cell after somebody altered it."""
    if column in UNPROVEN:
        return []
    if column in WORDS:
        return [word for word in WORDS[column] if word != cell]
    match cell:
        case str():
            return [cell[:-1] + ("1" if cell[-1] == "0" else "0"), ""]
        case float():
            return [math.nextafter(cell, math.inf), 2 * cell + 1, -cell - 1.0, 0.0 if cell else 1.0, 1e308, math.inf]
        case int():
            times = [cell + 1, cell + HOUR, cell - HOUR, cell + 1000 * HOUR, 0]
            return [1 - cell] if column in ("synthetic", "seed") else times
    assert cell is None
    return [START + 10 * HOUR if column == "warmup_from" else 9_000.0]


def two_of(values: list[Any], number: int) -> list[Any]:
    """The first, and another one that differs from row to row, so that each has its turn."""
    return [*values[:1], *values[1:][number % max(len(values) - 1, 1) :][:1]]


def test_the_ledger_is_proven_as_it_is(ledger: Connection) -> None:
    assert verify(ledger) == (20, [])


@pytest.mark.parametrize("table", ["decisions", "fills", "candles", "accounts", "models", "states"])
def test_every_altered_cell_is_found(ledger: Connection, table: str) -> None:
    names, rows = rows_of(ledger, table)
    assert rows
    changes = [
        (f'UPDATE {table} SET "{name}" = ? WHERE rowid = ?', (other, rowid))
        for rowid, *cells in rows
        for name, cell in zip(names, cells, strict=True)
        for other in two_of(others(name, cell), rowid)
    ]
    assert missed(ledger, changes) == []


def test_what_a_model_does_and_a_state_are_proven_too(ledger: Connection) -> None:
    _, models = rows_of(ledger, "models")
    _, states = rows_of(ledger, "states")
    changes: list[tuple[str, Sequence[Any]]] = []
    for rowid, _, _, weights, manifest, _ in models:
        altered = weights[:-1] + bytes([weights[-1] ^ 1])
        changes += [
            ("UPDATE models SET weights = ? WHERE rowid = ?", (blob, rowid)) for blob in (altered, b"", weights + b" ")
        ]
        wrong = [
            manifest.replace("article", "returns"),
            manifest.replace('"fc1": 8', '"fc1": 9'),
            "{}",
            "",
            manifest[:-9],
        ]
        changes += [("UPDATE models SET manifest = ? WHERE rowid = ?", (w, rowid)) for w in wrong if w != manifest]
    for rowid, _, _, hidden in states:
        blobs = [hidden[:-1] + bytes([hidden[-1] ^ 1]), hidden[16:], b"", b"x", bytes(len(hidden))]
        changes += [("UPDATE states SET hidden = ? WHERE rowid = ?", (blob, rowid)) for blob in blobs]
    assert missed(ledger, changes) == []


@pytest.mark.parametrize("table", ["decisions", "fills", "candles", "accounts", "models", "states"])
def test_every_row_taken_out_is_found(ledger: Connection, table: str) -> None:
    _, rows = rows_of(ledger, table)
    assert missed(ledger, [(f"DELETE FROM {table} WHERE rowid = ?", (row[0],)) for row in rows]) == []


@pytest.mark.parametrize("table", ["decisions", "fills", "candles"])
def test_every_row_put_in_is_found(ledger: Connection, table: str) -> None:
    """A copy of each row, moved in time by bars or to another account or market."""
    names, rows = rows_of(ledger, table)
    key, bar_time = names[0], names.index("bar_time")
    places = ", ".join("?" * len(names))
    changes: list[tuple[str, Sequence[Any]]] = []
    for _, *cells in rows:
        for other in WORDS[key]:
            for bars in (-30, -1, 0, 1, 2, 40):
                moved = [other, *cells[1:]]
                moved[bar_time] += bars * HOUR
                if "chain" in names:
                    moved[names.index("chain")] = "0" * 64
                changes.append((f"INSERT INTO {table} VALUES ({places})", moved))
    assert missed(ledger, changes[:: len(changes) // 80]) == []


def test_two_rows_exchanged_are_found(ledger: Connection) -> None:
    """Volumes of two candles of the warm-up, which nothing else looks at."""
    _, rows = rows_of(ledger, "candles")
    (one, *_), (other, *_) = rows[0], rows[1]
    ledger.exec_driver_sql(
        "UPDATE candles SET volume = (SELECT sum(volume) FROM candles WHERE rowid IN (?, ?)) - volume "
        "WHERE rowid IN (?, ?)",
        (one, other, one, other),
    )
    assert verify(ledger).differences != []
    ledger.rollback()
