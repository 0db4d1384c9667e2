"""The ledger in PostgreSQL: the same rows, the same proof, one writer, and connections that are lost.

`HOURHAND_TEST_POSTGRES_URL` names a server where databases may be made; without it a private one is started.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Connection, make_url, text
from starlette.testclient import TestClient

from bot.errors import LedgerError, LedgerInUseError, LedgerUnavailableError, UsageError
from bot.ledger import backup, is_in_use, open_reader, open_writer, tables, verify
from bot.model import SHIPPED_POINTER
from bot.service import replay_candles
from bot.simulator import generate_candles
from bot.trading import AccountTerms, Trader
from bot.web.app import create_app
from tests.harness import MARKET, World, all_rows, events_at, hourhand, model_of, rows_at, world_of

psycopg = pytest.importorskip("psycopg", reason="needs the extra `postgres`")

MODEL = model_of(1)
CANDLES = generate_candles(120, seed=5, holes=0.02, quiet=0)
numbers = count()


@dataclass
class Server:
    """A server's URL without a database, and how to stop and start it, where it is ours."""

    url: str
    stop: Callable[[], None] | None = None
    start: Callable[[], None] | None = None

    def at(self, database: str) -> str:
        """The URL of one of its databases."""
        return make_url(self.url).set(database=database).render_as_string(hide_password=False)

    def tell(self, statement: str) -> None:
        """Carry out a statement outside of every ledger."""
        with psycopg.connect(self.at(make_url(self.url).database or "postgres"), autocommit=True) as connection:
            connection.execute(statement)


def programs() -> Path | None:
    """Where `postgres` and `initdb` are."""
    found = shutil.which("postgres")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((place for place in reversed(places) if (place / "initdb").exists()), None)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    given = os.environ.get("HOURHAND_TEST_POSTGRES_URL")
    if given:
        yield Server(given)
        return
    place = programs()
    if place is None:
        pytest.skip("needs HOURHAND_TEST_POSTGRES_URL, or PostgreSQL's programs")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    run_as: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        run_as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = folder / "data"
    options = ["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "--locale=C"]
    subprocess.run([*run_as, place / "initdb", "-D", data, *options], check=True, capture_output=True, cwd=folder)
    running: list[subprocess.Popen[bytes]] = []
    url = f"postgresql://postgres@/postgres?host={folder}"

    def start() -> None:
        settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", f"unix_socket_directories={folder}"]
        command = [*run_as, place / "postgres", "-D", data, *settings]
        running.append(subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(url).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "the server does not start"
                time.sleep(0.05)
            else:
                return

    def stop() -> None:
        process = running.pop()
        process.send_signal(2)  # a fast shutdown: connections are ended
        process.wait(60)

    start()
    yield Server(url, stop, start)
    stop()
    shutil.rmtree(folder)


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    """A database of its own."""
    name = f"hourhand_test_{os.getpid()}_{next(numbers)}"
    server.tell(f"CREATE DATABASE {name}")
    yield server.at(name)
    server.tell(f"DROP DATABASE {name} WITH (FORCE)")


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


def end(connection: Connection) -> None:
    connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_a_lost_connection_costs_no_bar_and_no_lock(world: World, server: Server, url: str) -> None:
    with world.poller(MODEL) as poller:
        world.run(poller, range(30, 34))
    with world.poller(MODEL, ledger={"url": url}) as poller:
        world.run(poller, [30, 31])
        with pytest.raises(LedgerUnavailableError), poller.ledger.writing() as connection:
            end(connection)
        world.run(poller, [32])
        server.tell(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{make_url(url).database}'"
        )
        world.run(poller, [33])
        with pytest.raises(LedgerInUseError):
            open_writer(url)
    assert rows_at(url) == world.rows()


def test_a_server_that_is_restarted_costs_no_bar(world: World, server: Server, url: str) -> None:
    if server.stop is None or server.start is None:
        pytest.skip("not our server to stop")
    with world.poller(MODEL) as poller:
        world.run(poller, [30, 31])
    with world.poller(MODEL, ledger={"url": url}) as poller:
        world.run(poller, [30])
        server.stop()
        with pytest.raises(LedgerUnavailableError):
            world.run(poller, [31])
        poller.note("lost", why="no server")
        with pytest.raises(LedgerError):
            open_reader(url)
        server.start()
        world.run(poller, [31])
    assert rows_at(url) == world.rows()


def test_a_server_that_is_not_up_yet_passes_at_the_start(server: Server, url: str) -> None:
    if server.stop is None or server.start is None:
        pytest.skip("not our server to stop")
    server.stop()
    with pytest.raises(LedgerUnavailableError):
        open_writer(url)
    server.start()
    open_writer(url).close()


def test_a_server_that_became_read_only_passes(server: Server, url: str) -> None:
    """As after a failover, until the address leads to the new primary."""
    open_writer(url).close()
    server.tell(f"ALTER DATABASE {make_url(url).database} SET default_transaction_read_only = on")
    ledger = open_writer(url)
    with pytest.raises(LedgerUnavailableError), ledger.writing() as connection:
        connection.execute(tables.events.insert().values(at=1.0, kind="note", detail="{}"))
    ledger.close()


def test_a_lock_that_somebody_holds_passes(world: World, url: str) -> None:
    with world.poller(MODEL) as poller:
        world.run(poller, [30, 31])
    with world.poller(MODEL, ledger={"url": url}) as poller:
        world.run(poller, [30])
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE decisions, alembic_version IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(LedgerUnavailableError, match="lock timeout"):
                world.run(poller, [31])
            with pytest.raises(LedgerUnavailableError, match="lock timeout"):
                open_reader(url)
        world.run(poller, [31])
    assert rows_at(url) == world.rows()


def test_a_server_that_never_answers_passes_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.ledger.engines._CONNECT_SECONDS", 2)  # libpq's least
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/ledger"
        for attempt in (open_writer, open_reader, is_in_use):
            with pytest.raises(LedgerUnavailableError, match="timeout"):
                attempt(url)


def test_a_missing_right_stays(server: Server, url: str) -> None:
    open_writer(url).close()
    server.tell("CREATE ROLE guest LOGIN")
    guest = make_url(url).set(username="guest").render_as_string(hide_password=False)
    try:
        with pytest.raises(LedgerError, match="permission denied") as failure:
            open_writer(guest)
        assert not isinstance(failure.value, LedgerUnavailableError)
    finally:
        server.tell("DROP ROLE guest")


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
