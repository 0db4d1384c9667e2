"""One writer, readers that cannot write, tables that refuse what cannot be, one sentence for every trouble."""

import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text

from bot.errors import LedgerError, LedgerInUseError, LedgerUnavailableError, UsageError
from bot.ledger import is_in_use, open_reader, open_writer, reading, tables
from bot.model import SHIPPED_POINTER
from bot.simulator import generate_candles
from tests.harness import all_rows, filled, hourhand, model_of, rows_at

MODEL = model_of(1)
CANDLES = generate_candles(120, seed=5, holes=0, quiet=0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return filled(tmp_path / "ledger.sqlite", MODEL)


def spoilt(file: Path, statement: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(statement)
    connection.close()


# ---- what cannot be used


def newer(file: Path) -> None:
    spoilt(file, "UPDATE alembic_version SET version_num = '9999'")


def not_a_ledger(file: Path) -> None:
    file.unlink()
    spoilt(file, "CREATE TABLE recipes (name TEXT)")


def not_a_database(file: Path) -> None:
    file.write_text("Dear diary, " * 1000)


def broken_header(file: Path) -> None:
    file.write_bytes(b"\0" * 100 + file.read_bytes()[100:])


def broken_middle(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for page in range(4096, len(content), 4096):
        content[page : page + 64] = b"\xff" * 64
    file.write_bytes(content)


def read_only(file: Path) -> None:
    file.chmod(0o444)


BROKEN = {
    newer: "newer version",
    not_a_ledger: "not a ledger",
    not_a_database: "not a database",
    broken_header: "not a database",
    broken_middle: "malformed|corrupt",
}


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda spoil: spoil.__name__)
def test_a_ledger_that_cannot_be_used_is_left_as_it_is_and_said_so(file: Path, spoil: Any) -> None:
    spoil(file)
    before = file.read_bytes()
    for call in (open_writer, open_reader):
        with pytest.raises(LedgerError, match=BROKEN[spoil]) as failure:
            call(f"sqlite:///{file}")
        assert "\n" not in str(failure.value)
        assert not isinstance(failure.value, LedgerUnavailableError)
    assert file.read_bytes()[100:] == before[100:]  # the header may tell of the journal that was tried
    assert not is_in_use(f"sqlite:///{file}")


def test_a_read_only_ledger_can_be_looked_at_and_not_written(file: Path) -> None:
    read_only(file)
    with pytest.raises(LedgerError, match="read-only"):
        open_writer(f"sqlite:///{file}")
    assert len(rows_at(f"sqlite:///{file}")["decisions"]) == 30


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (newer, 4, "newer version"),
        (broken_middle, 4, ""),
        (read_only, 4, "read-only"),
        (not_a_ledger, 4, "not a ledger"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_command_ends_with_4_and_one_sentence(file: Path, spoil: Any, code: int, words: str) -> None:
    """`replay` writes, `verify` only reads."""
    spoil(file)
    with (file.parent / "candles.csv").open("w") as out:
        out.write("t,o,h,l,c,v\n" + "".join(f"{','.join(map(repr, candle[:6]))}\n" for candle in CANDLES))
    url = f"sqlite:///{file}"
    model = SHIPPED_POINTER
    calls = [["replay", "--candles", "candles.csv", "--ledger", url]]
    calls += [["verify", "--ledger", url]] if spoil is not read_only else []
    for call in calls:
        done = hourhand(*call, "--json", cwd=file.parent, HOURHAND_POLICY__MODEL=str(model))
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("hourhand: the ")
        assert words in done.stderr


def test_a_ledger_that_is_not_there_is_made_by_a_writer_only(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/deep/down/ledger.sqlite"
    with pytest.raises(LedgerError, match="there is no ledger"):
        open_reader(url)
    assert not (tmp_path / "deep").exists()
    open_writer(url).close()
    assert rows_at(url) == {name: [] for name in rows_at(url)}


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://localhost/x", "sqlite+nothing:///x", "postgresql://h:port/x"])
def test_a_url_of_something_else_is_wrong_usage(url: str) -> None:
    for call in (open_writer, open_reader, is_in_use):
        with pytest.raises(UsageError, match=r"ledger\.url"):
            call(url)


# ---- one writer


def test_a_second_writer_is_turned_away_and_readers_are_not(file: Path) -> None:
    url = f"sqlite:///{file}"
    first = open_writer(url)
    assert is_in_use(url)
    with pytest.raises(LedgerInUseError, match="in use by another daemon"):
        open_writer(url)
    reader = open_reader(url)
    with first.writing() as connection:
        connection.execute(insert(tables.events).values(at=1.0, kind="note", detail="{}"))
        with reader.reading() as looking:
            assert reading.read_events(looking, "note") == []
    with reader.reading() as looking:
        assert reading.read_events(looking, "note") == [{}]
    reader.close()
    first.close()
    assert not is_in_use(url)
    open_writer(url).close()


def test_a_reader_cannot_write(file: Path) -> None:
    reader = open_reader(f"sqlite:///{file}")
    with pytest.raises(LedgerError, match=r"read-?only"), reader.writing() as connection:
        connection.execute(insert(tables.events).values(at=1.0, kind="note", detail="{}"))
    reader.close()


def test_the_lock_of_a_process_that_was_killed_is_free(file: Path) -> None:
    holder = textwrap.dedent(f"""
        import os, signal
        from bot.ledger.store import open_writer
        ledger = open_writer("sqlite:///{file}")
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert subprocess.run([sys.executable, "-c", holder], check=False).returncode == -9
    open_writer(f"sqlite:///{file}").close()


def test_run_ends_with_3_where_another_has_the_ledger(file: Path) -> None:
    ledger = open_writer(f"sqlite:///{file}")
    model = SHIPPED_POINTER
    done = hourhand(
        "run", "--once", cwd=file.parent, HOURHAND_LEDGER__URL=f"sqlite:///{file}", HOURHAND_POLICY__MODEL=str(model)
    )
    ledger.close()
    assert done.returncode == 3
    assert "in use by another daemon" in done.stderr
    assert done.stderr.count("\n") == 1


# ---- what the tables hold


def test_every_table_is_strict_and_the_file_is_synced_in_full(file: Path) -> None:
    ledger = open_writer(f"sqlite:///{file}")
    with ledger.reading() as connection:
        listed = connection.execute(text("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'")).all()
        assert {name for name, strict in listed if strict} >= set(tables.metadata.tables)
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")
        }
    ledger.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("candles", "close", 0.0), ("candles", "open", -1.0), ("candles", "high", float("inf")),
        ("candles", "high", 1.0), ("candles", "low", 1e9), ("candles", "volume", -1.0), ("candles", "synthetic", 2),
        ("candles", "close", "12"), ("candles", "close", None), ("candles", "close", float("nan")),
        ("decisions", "action", "short"), ("decisions", "p_buy", 1.1), ("decisions", "draw", 1.0),
        ("decisions", "balance", -0.01), ("decisions", "stocks", float("inf")), ("decisions", "mode", "guess"),
        ("decisions", "reason", "missed"), ("decisions", "chain", "abc"), ("decisions", "model_id", "nobody"),
        ("decisions", "account", "nobody"), ("decisions", "bar_time", 1.5),
        ("fills", "side", "hold"), ("fills", "price", 0.0), ("fills", "amount", -1.0), ("fills", "commission", -1.0),
        ("fills", "bar_time", 7), ("accounts", "commission", 2.0), ("accounts", "trade_fraction", -0.5),
        ("accounts", "fill", "never"), ("accounts", "initial_balance", -1.0), ("states", "account", "nobody"),
    ],
)  # fmt: skip
def test_the_database_refuses_what_cannot_be(file: Path, table: str, column: str, value: Any) -> None:
    ledger = open_writer(f"sqlite:///{file}")
    before = all_rows(ledger)
    traded = "AND action != 'hold'" if table == "decisions" else ""
    where = f" WHERE rowid = (SELECT min(rowid) FROM {table} WHERE 1 {traded})"
    with (
        pytest.raises(LedgerError, match=r"cannot be used: .*(CHECK|NOT NULL|FOREIGN KEY|cannot store)"),
        ledger.writing() as it,
    ):
        it.execute(text(f"UPDATE {table} SET {column} = :value{where}"), {"value": value})
    assert all_rows(ledger) == before
    ledger.close()


def test_a_transaction_that_fails_leaves_nothing(file: Path) -> None:
    ledger = open_writer(f"sqlite:///{file}")
    before = all_rows(ledger)

    def emptied(connection: Connection) -> None:
        for table in ("fills", "states", "decisions"):
            connection.execute(text(f"DELETE FROM {table}"))
        raise LookupError

    with pytest.raises(LookupError), ledger.writing() as connection:
        emptied(connection)
    assert all_rows(ledger) == before
    ledger.close()
