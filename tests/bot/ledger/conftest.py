"""PostgreSQL for the tests of the ledger that ask for it."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    from tests.bot.ledger.postgres import postgres  # noqa: PLC0415 - skips where the extra is missing

    with postgres() as made:
        yield made


@pytest.fixture
def url(server: Any) -> Iterator[str]:
    with server.database() as made:
        yield made
