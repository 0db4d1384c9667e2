"""What version 0.1.0 wrote goes on verifying, loading, resuming and replaying: `data/written_by_0_1` is never remade.

The ledger holds two accounts (one a shadow's), a swap, missed hours, a synthetic one and revisions.
"""

import json
import shutil
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect

from bot.ledger import (
    chain,
    open_reader,
    open_writer,
    read_candles_between,
    read_decisions,
    read_fills,
    read_practice,
    read_state,
    read_terms,
    verify,
)
from bot.market import read_candles
from bot.model import load_model
from bot.service import replay_candles
from bot.trading import AccountTerms, Trader
from tests.harness import HOUR, MARKET, hourhand, world_of

WRITTEN = Path(__file__).parents[2] / "data" / "written_by_0_1"
CHAINS = json.loads((WRITTEN / "replayed_chains.json").read_text())


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A copy of the ledger that may be written to."""
    shutil.copy(WRITTEN / "ledger.sqlite", tmp_path / "ledger.sqlite")
    return f"sqlite:///{tmp_path}/ledger.sqlite"


def differences(url: str) -> list[str]:
    """What `verify` finds."""
    ledger = open_reader(url)
    with ledger.reading() as connection:
        found = verify(connection).differences
    ledger.close()
    return found


def test_the_ledger_verifies_before_and_after_this_version_opens_it(url: str) -> None:
    open_writer(url).close()
    assert differences(url) == []


def test_the_ledger_verifies_without_being_changed(url: str, tmp_path: Path) -> None:
    assert differences(url) == []
    assert (tmp_path / "ledger.sqlite").read_bytes() == (WRITTEN / "ledger.sqlite").read_bytes()


def test_an_upgraded_ledger_has_the_tables_of_a_fresh_one(url: str, tmp_path: Path) -> None:
    fresh = f"sqlite:///{tmp_path}/fresh.sqlite"
    schemas = []
    for opened in (url, fresh):
        ledger = open_writer(opened)
        with ledger.reading() as connection:
            shown = inspect(connection)
            schemas.append(
                {
                    name: (
                        [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in shown.get_columns(name)],
                        sorted(str(check["name"]) for check in shown.get_check_constraints(name)),
                        [(index["name"], index["column_names"]) for index in shown.get_indexes(name)],
                        shown.get_pk_constraint(name)["name"],
                    )
                    for name in shown.get_table_names()
                }
            )
            assert read_practice(connection) is None
        ledger.close()
    assert schemas[0] == schemas[1]


def chain_of_version_1(connection: Connection, account: str) -> str:
    """The newest link as 0.1.0 computed it from the same rows."""
    terms = read_terms(connection, account)
    assert terms is not None
    candles = {candle.bar_time: candle for candle in read_candles_between(connection, terms.market, 0, 2**62)}
    fills = read_fills(connection, account)
    link = ""
    for stored in read_decisions(connection, account):
        bar_time = stored.decision.bar_time
        if not link:
            first = bar_time if stored.warmup_from is None else stored.warmup_from
            link = chain.genesis(terms, [candles[time] for time in sorted(candles) if first <= time < bar_time])
        fill = fills.get(bar_time)
        link = chain.link(link, terms, candles[bar_time], stored.decision, fill, stored.warmup_from, None)
    return link


@pytest.mark.parametrize("model_id", CHAINS)
def test_a_model_keeps_its_id_and_replays_to_the_same_chain(model_id: str, tmp_path: Path) -> None:
    model = load_model(WRITTEN / "models" / model_id)
    assert model.model_id == model_id
    ledger = open_writer(f"sqlite:///{tmp_path}/replayed.sqlite")
    replay_candles(ledger, Trader(AccountTerms("main", MARKET), model), read_candles(WRITTEN / "candles.csv", HOUR), 20)
    with ledger.reading() as connection:
        assert verify(connection).differences == []
        assert chain_of_version_1(connection, "main") == CHAINS[model_id]
    ledger.close()


def test_the_daemon_goes_on_from_its_last_bar(url: str, tmp_path: Path) -> None:
    ledger = open_reader(url)
    with ledger.reading() as connection:
        last = read_state(connection, "main")
    ledger.close()
    assert last is not None
    with world_of(tmp_path, read_candles(WRITTEN / "candles.csv", HOUR)) as world:
        with world.poller(load_model(WRITTEN / "models" / last.model_id)) as poller:
            world.run(poller, range(60, 70))
        decided = [row[1] for row in world.rows()["decisions"] if row[0] == "main"]
    assert decided[-10:] == [last.bar_time + n * HOUR for n in range(1, 11)]
    assert differences(url) == []


def test_a_backup_of_it_is_restored_under_the_ledger_of_this_version(url: str, tmp_path: Path) -> None:
    """As docs/how-to/upgrade.md says: back up, upgrade, and go back to the backup where something is wrong."""
    ledger = {"HOURHAND_LEDGER__URL": url}
    assert hourhand("backup", "before.sqlite", cwd=tmp_path, **ledger).returncode == 0
    open_writer(url).close()
    assert hourhand("verify", cwd=tmp_path, **ledger).stdout.endswith("differences  0\n")
    assert hourhand("restore", "before.sqlite", cwd=tmp_path, **ledger).returncode == 0
    assert differences(url) == []
    open_writer(url).close()
    assert differences(url) == []
