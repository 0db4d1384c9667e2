"""A ledger, a registry and a server over them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from bot.clock import Clock
from bot.model import registry
from bot.settings import Settings
from bot.web.app import create_app
from tests.ledgers import two_models, write_ledger

TOKEN = "open sesame".replace(" ", "-")
BARS = 87_600
BASE = "http://127.0.0.1:8420"


@pytest.fixture(scope="session")
def ledger_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three accounts over some 600 bars; nobody writes to it."""
    return write_ledger(tmp_path_factory.mktemp("web") / "ledger.sqlite", 600, two_models())


@pytest.fixture(scope="session")
def ten_years(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three accounts over ten years of hours; to be copied. It takes a minute to write."""
    return write_ledger(tmp_path_factory.mktemp("ten") / "ledger.sqlite", BARS, two_models())


def settings_for(folder: Path, url: str, **serve: Any) -> Settings:
    """Settings with a registry of two models in `folder`, the second of which is current."""
    pointer = folder / "models" / "current"
    for model in two_models():
        registry.publish(pointer, model)
        registry.promote(pointer, model.model_id, 1.0)
    sections = {"ledger": {"url": url}, "policy": {"model": str(pointer)}, "serve": serve}
    return msgspec.convert(sections, Settings)


@pytest.fixture
def settings(tmp_path: Path, ledger_file: Path) -> Settings:
    """The page's usual settings, with a token."""
    return settings_for(tmp_path, f"sqlite:///{ledger_file}", token=TOKEN)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """A client of the server."""
    with client_of(settings) as found:
        yield found


def client_of(settings: Settings) -> TestClient:
    """A client of a server with those settings; a context manager that starts and ends it."""
    return TestClient(create_app(settings, Clock()), base_url=BASE, raise_server_exceptions=False)
