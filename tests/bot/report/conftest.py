"""A ledger of two accounts for the report and its figures."""

from pathlib import Path

import pytest

from bot.ledger import Ledger, open_reader, open_writer
from bot.market import fill_gaps
from bot.report.history import AccountHistory, read_history
from bot.service import replay_candles
from bot.simulator import generate_candles
from bot.trading import AccountTerms, Trader
from tests.harness import HOUR, MARKET, model_of

WARMUP = 50
CANDLES = generate_candles(1_600, seed=8, holes=0.004)
RUN = fill_gaps(CANDLES, HOUR)
MODELS = [model_of(11), model_of(12, bias=(2.0, 0.0, 0.5))]


def written(file: Path) -> Path:
    """A ledger of `main`, whose model changes after 900 candles, and `<b>`, which starts and ends at other bars."""
    ledger = open_writer(f"sqlite:///{file}")
    replay_candles(ledger, Trader(AccountTerms("main", MARKET), MODELS[0]), CANDLES[:900], WARMUP)
    replay_candles(ledger, Trader(AccountTerms("main", MARKET), MODELS[1]), CANDLES, WARMUP)
    replay_candles(ledger, Trader(AccountTerms("<b>", MARKET), MODELS[1], "argmax"), CANDLES[:1_500], 200)
    ledger.close()
    return file


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That ledger's file; nobody writes to it."""
    return written(tmp_path_factory.mktemp("report") / "ledger.sqlite")


@pytest.fixture
def ledger(file: Path) -> Ledger:
    """That ledger, to be closed by the test."""
    return open_reader(f"sqlite:///{file}")


def read(ledger: Ledger, *names: str) -> list[AccountHistory]:
    """The histories of accounts; closes the ledger."""
    with ledger.reading() as connection:
        histories = [read_history(connection, name) for name in names]
    ledger.close()
    return histories
