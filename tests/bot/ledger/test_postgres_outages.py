"""A PostgreSQL server that fails, locks or refuses: what passes costs no bar, and what does not is told from it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, make_url, text

from bot.errors import LedgerError, LedgerInUseError, LedgerUnavailableError
from bot.ledger import is_in_use, open_reader, open_writer, tables
from tests.bot.ledger.postgres import Server, psycopg
from tests.harness import World, model_of, rows_at, world_of

MODEL = model_of(1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_of(tmp_path) as world:
        yield world


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
