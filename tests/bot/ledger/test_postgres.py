"""The ledger in PostgreSQL: the same rows, the same proof, and one writer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from starlette.testclient import TestClient

from bot.errors import LedgerError, LedgerInUseError, UsageError
from bot.ledger import backup, is_in_use, open_reader, open_writer, verify
from bot.model import SHIPPED_POINTER
from bot.service import replay_candles
from bot.simulator import generate_candles
from bot.trading import AccountTerms, Trader
from bot.web.app import create_app
from tests.bot.ledger.postgres import psycopg
from tests.harness import MARKET, World, all_rows, events_at, hourhand, model_of, rows_at, world_of

MODEL = model_of(1)
CANDLES = generate_candles(120, seed=5, holes=0.02, quiet=0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_of(tmp_path) as world:
        yield world


def test_the_rows_are_those_of_sqlite(world: World, url: str) -> None:
    for ledger in (url, world.url):
        for model, hours in ((MODEL, (30, 31, 34)), (model_of(2), (35, 36))):
            with world.poller(model, ledger={"url": ledger}) as poller:
                world.run(poller, hours)
                with poller.ledger.reading() as connection:
                    assert verify(connection).differences == []
    assert rows_at(url) == rows_at(world.url)
    assert events_at(url) == events_at(world.url) == ["model_swapped"]


def test_a_replay_is_that_of_sqlite(url: str) -> None:
    rows = []
    for place in (url, "sqlite://"):
        ledger = open_writer(place)
        replay_candles(ledger, Trader(AccountTerms("main", MARKET), MODEL), CANDLES, 10)
        with ledger.reading() as connection:
            assert verify(connection) == (110, [])
        rows.append(all_rows(ledger))
        ledger.close()
    assert rows[0] == rows[1]


def test_one_writer_and_many_readers(world: World, url: str) -> None:
    with world.poller(MODEL, ledger={"url": url}) as poller:
        world.run(poller, [30])
        assert is_in_use(url)
        with pytest.raises(LedgerInUseError, match="in use by another daemon"):
            open_writer(url)
        done = hourhand(
            "run", "--once", cwd=world.folder, HOURHAND_LEDGER__URL=url,
            HOURHAND_POLICY__MODEL=str(SHIPPED_POINTER),
        )  # fmt: skip
        assert (done.returncode, done.stderr.count("\n")) == (3, 1)
        assert len(rows_at(url)["decisions"]) == 1
    assert not is_in_use(url)
    open_writer(url).close()


def test_a_reader_sees_one_moment_and_cannot_write(world: World, url: str) -> None:
    with world.poller(MODEL, ledger={"url": url}) as poller:
        world.run(poller, [30])
        reader = open_reader(url)
        counted = text("SELECT count(*) FROM decisions")
        with reader.reading() as connection:
            assert connection.execute(counted).scalar() == 1
            world.run(poller, [31])
            assert connection.execute(counted).scalar() == 1
        with reader.reading() as connection:
            assert connection.execute(counted).scalar() == 2
        with pytest.raises(LedgerError, match="read-only"), reader.writing() as connection:
            connection.execute(text("DELETE FROM fills"))
        reader.close()


@pytest.mark.parametrize(
    "change",
    ["candles SET close = 'NaN'", "candles SET high = 'Infinity'", "decisions SET p_buy = 2", "fills SET price = 0"],
)
def test_the_database_refuses_what_cannot_be(url: str, change: str) -> None:
    ledger = open_writer(url)
    replay_candles(ledger, Trader(AccountTerms("main", MARKET), MODEL), CANDLES, 10)
    with pytest.raises(LedgerError, match="check constraint"), ledger.writing() as connection:
        connection.execute(text(f"UPDATE {change}"))
    ledger.close()


def test_the_first_schema_is_brought_up_to_date(url: str) -> None:
    ledger = open_writer(url)
    with ledger.writing() as connection:
        connection.execute(text("DROP TABLE ledger_info"))
        connection.execute(text("DROP TABLE account_limits"))
        connection.execute(text("DROP INDEX ix_events_revision"))
        connection.execute(text("ALTER TABLE decisions DROP COLUMN chain_version"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    ledger.close()
    ledger = open_writer(url)
    replay_candles(ledger, Trader(AccountTerms("main", MARKET), MODEL), CANDLES, 10)
    with ledger.reading() as connection:
        assert verify(connection) == (110, [])
    ledger.close()


def test_what_cannot_be_used_is_said(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE recipes (name text)")
    for call in (open_writer, open_reader):
        with pytest.raises(LedgerError, match="not a ledger"):
            call(url)
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE recipes")
    with pytest.raises(LedgerError, match="empty or of an older version"):
        open_reader(url)
    open_writer(url).close()
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for call in (open_writer, open_reader):
        with pytest.raises(LedgerError, match="newer version"):
            call(url)
    nowhere = make_url(url).set(database="nowhere").render_as_string(hide_password=False)
    for call in (open_writer, open_reader):
        with pytest.raises(LedgerError, match="does not exist"):
            call(nowhere)
    with pytest.raises(UsageError, match="pg_dump"):
        backup(url, Path("copy.sqlite"))


def test_the_page_reads_it_beside_its_writer(world: World, url: str, tmp_path: Path) -> None:
    settings = world.settings(ledger={"url": url}, policy={"model": str(tmp_path / "models" / "current")})
    with world.poller(MODEL, ledger={"url": url}) as poller:
        world.run(poller, range(30, 40))
        with TestClient(create_app(settings, world.dial.clock), base_url="http://127.0.0.1") as client:
            before = client.get("/api/v1/accounts/main/equity").json()["equity"]
            world.run(poller, [40])
            after = client.get("/api/v1/accounts/main/equity").json()["equity"]
            assert [p["value"] for p in after[:-1]] == [p["value"] for p in before]
            assert len(after) == 11
            (account,) = client.get("/api/v1/accounts").json()
            assert (account["state"], account["bars"]) == ("running", 11)
            decisions = client.get("/api/v1/accounts/main/decisions?limit=3&order=desc").json()["decisions"]
            assert [row["value"] for row in decisions] == [p["value"] for p in after[:-4:-1]]
            assert client.get("/").status_code == 200
            assert client.get("/api/v1/compare").status_code == 200
