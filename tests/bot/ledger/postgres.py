"""A PostgreSQL server for tests; a module that imports it is skipped where the extra is missing.

`HOURHAND_TEST_POSTGRES_URL` names a server where databases may be made; without it a private one is started.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import make_url

psycopg = pytest.importorskip("psycopg", reason="needs the extra `postgres`")

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

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new database of its own."""
        name = f"hourhand_test_{os.getpid()}_{next(numbers)}"
        self.tell(f"CREATE DATABASE {name}")
        try:
            yield self.at(name)
        finally:
            self.tell(f"DROP DATABASE {name} WITH (FORCE)")


def programs() -> Path | None:
    """Where `postgres` and `initdb` are."""
    found = shutil.which("postgres")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((place for place in reversed(places) if (place / "initdb").exists()), None)


@contextmanager
def postgres() -> Iterator[Server]:
    """The server that the environment names, or one that runs meanwhile."""
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
    try:
        yield Server(url, stop, start)
    finally:
        stop()
        shutil.rmtree(folder)
