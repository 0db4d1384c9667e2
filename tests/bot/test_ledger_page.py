"""The page on the ledger says what is so: every table and column, every event, and the chain as anyone computes it."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bot.account import Rules, Terms
from bot.ledger import tables
from bot.ledger.store import open_writer
from bot.replay import replay
from bot.simulator.generate import generate
from bot.trader import Trader
from tests.harness import model_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
MARKET = "bitfinex:BTC/USD:1h"


def example() -> str:
    found = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def run_example(ledger: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", example(), ledger], capture_output=True, text=True, check=False)


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    file = tmp_path / "ledger.sqlite"
    ledger = open_writer(f"sqlite:///{file}")
    terms = Terms("Jürgen", MARKET, Rules(initial_balance=1234.5), slippage_bps=2.5, seed=7)
    replay(ledger, Trader(terms, model_of(11)), generate(90, 5, holes=0.02), 30)
    ledger.close()
    return file


def test_the_example_computes_the_chain(ledger_file: Path) -> None:
    with closing(sqlite3.connect(ledger_file)) as connection:
        bars, fills = (connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("decisions", "fills"))
        last = connection.execute("SELECT chain FROM decisions ORDER BY bar_time DESC LIMIT 1").fetchone()[0]
    assert fills > 5
    done = run_example(ledger_file)
    assert done.stdout == f"{bars} links hold, the last is {last}\n", done.stderr


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE candles SET volume = volume + 1 WHERE bar_time = (SELECT min(bar_time) FROM candles)",
        "UPDATE decisions SET state_value = state_value + 1 WHERE bar_time = (SELECT max(bar_time) FROM decisions)",
        "UPDATE fills SET commission = commission * 2 WHERE bar_time = (SELECT max(bar_time) FROM fills)",
        "UPDATE accounts SET seed = 8",
    ],
)
def test_the_example_finds_what_was_altered(ledger_file: Path, change: str) -> None:
    with closing(sqlite3.connect(ledger_file)) as connection, connection:
        assert connection.execute(change).rowcount == 1
    assert "altered at or before" in run_example(ledger_file).stderr


def test_every_table_and_column_is_there_in_order() -> None:
    sections = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", PAGE, re.DOTALL | re.MULTILINE))
    assert sections.keys() == tables.metadata.tables.keys()
    for name, table in tables.metadata.tables.items():
        described = sections[name].split("| kind |")[0]
        cells = re.findall(r"^\| (`.*?`) \|", described, re.MULTILINE)
        assert re.findall(r"`(\w+)`", " ".join(cells)) == list(table.columns.keys()), name


def test_every_event_is_there() -> None:
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "bot").glob("*.py"))
    kinds = set(re.findall(r'(?:note\(|_trouble\(self\.\w+, |_over\(self\.\w+, |append\(\()"(\w+)"', code))
    assert {"started", "stopped", "revision", "exchange_error", "exchange_recovered"} <= kinds
    listed = PAGE.split("| kind | when |")[1].split("## Proof")[0]
    assert kinds | {"gap"} <= set(re.findall(r"`(\w+)`", listed))
