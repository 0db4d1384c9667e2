"""The page on the ledger says what is so: every table and column, every event, and the chain as anyone computes it."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.ledger import open_writer, tables
from bot.market import MarketLimits
from bot.service import replay_candles
from bot.simulator import generate_candles
from bot.trading import AccountTerms, Rules, Trader
from tests.harness import model_of

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
MARKET = "bitfinex:BTC/USD:1h"


def example() -> str:
    found = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def run_example(ledger: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", example(), ledger], capture_output=True, text=True, check=False)


@pytest.fixture(params=[None, MarketLimits(0.00004, 5.0, 1e-08)], ids=["own", "exchange"])
def ledger_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / "ledger.sqlite"
    ledger = open_writer(f"sqlite:///{file}")
    terms = AccountTerms(
        "Jürgen", MARKET, Rules(initial_balance=1234.5, min_sell_amount=5e-05), slippage_bps=2.5, seed=7
    )
    if request.param:
        terms = terms._replace(rules=terms.rules._replace(limits=request.param), limits="exchange")
    replay_candles(ledger, Trader(terms, model_of(11)), generate_candles(90, 5, holes=0.02), 30)
    ledger.close()
    return file


def test_the_example_computes_the_chain(ledger_file: Path) -> None:
    with closing(sqlite3.connect(ledger_file)) as connection:
        bars, fills = (connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("decisions", "fills"))
        last = connection.execute("SELECT chain FROM decisions ORDER BY bar_time DESC LIMIT 1").fetchone()[0]
    assert fills > 5
    done = run_example(ledger_file)
    assert done.stdout == f"{bars} links hold, the last is {last}\n", done.stderr


JAVASCRIPT = """
const crypto = require("crypto")
const number = text => text.replace(/^(-?)(\\d+)$/, "$1$2.0")
// Python and JavaScript write the same digits, and differ in where an exponent begins and how it is written.
function real(x) {
  const size = Math.abs(x)
  if (size !== 0 && size < 1e-4) return x.toExponential().replace(/e-(\\d)$/, "e-0$1")
  if (size >= 1e16) return x.toExponential()
  return number(String(x))
}
const cell = ([kind, x]) => kind === "real" ? real(x) : JSON.stringify(x)
const list = cells => "[" + cells.map(cell).join(",") + "]"
const digest = (...parts) => crypto.createHash("sha256").update("[" + parts.join(",") + "]").digest("hex")
const { account, warmup, rows } = JSON.parse(require("fs").readFileSync(0, "utf8"))
let link = digest(...account.map(cell))
for (const candle of warmup) link = digest(JSON.stringify(link), list(candle))
for (const { candle, row, fill, sha256, chain } of rows) {
  link = digest(JSON.stringify(link), list(candle), list(row), fill ? list(fill) : "null", JSON.stringify(sha256))
  if (link !== chain) throw new Error("altered at or before " + row[1][1])
}
console.log(rows.length)
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("altered", [False, True])
def test_a_few_lines_of_javascript_compute_the_chain(ledger_file: Path, altered: bool) -> None:
    def typed(cells: Sequence[Any]) -> list[Any]:
        return [["real" if isinstance(cell, float) else "other", cell] for cell in cells]

    with closing(sqlite3.connect(ledger_file)) as connection:
        account = connection.execute("SELECT * FROM accounts").fetchone()
        limits = connection.execute("SELECT * FROM account_limits").fetchone() or ()
        account += limits[1:]
        models = dict(connection.execute("SELECT model_id, weights_sha256 FROM models"))
        candles = {row[1]: row for row in connection.execute("SELECT * FROM candles ORDER BY bar_time")}
        fills = {row[1]: row[1:] for row in connection.execute("SELECT * FROM fills")}
        decisions = list(connection.execute("SELECT * FROM decisions ORDER BY bar_time"))
    small = [cell for row in (account, *decisions) for cell in row if isinstance(cell, float) and 0 < abs(cell) < 1e-4]
    assert small, "nothing here that the two languages write differently"
    rows = [
        {
            "candle": typed(candles[row[1]]),
            "row": typed(row[:-2]),
            "fill": typed(fills[row[1]]) if row[1] in fills else None,
            "sha256": models[row[9]],
            "chain": row[-2],
        }
        for row in decisions
    ]
    if altered:
        rows[5]["sha256"] = "0" * 64
    warmup = [typed(candles[time]) for time in candles if time < decisions[0][1]]
    given = json.dumps({"account": typed(account), "warmup": warmup, "rows": rows})
    done = subprocess.run(["node", "-e", JAVASCRIPT], input=given, capture_output=True, text=True, check=False)
    assert (done.stdout == f"{len(rows)}\n") is not altered, done.stderr
    assert ("altered at or before" in done.stderr) is altered


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
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "bot").rglob("*.py"))
    calls = r'(?:note\(|tell\("\w+", |_close\(\S+, |_(?:report\w*|failed|over)\(self\.\w+, |append\(\()"(\w+)"'
    kinds = set(re.findall(calls, code))
    assert {"started", "stopped", "revision", "exchange_error", "exchange_recovered"} <= kinds
    listed = PAGE.split("| kind | when |")[1].split("## Proof")[0]
    assert kinds | {"gap"} <= set(re.findall(r"`(\w+)`", listed))
