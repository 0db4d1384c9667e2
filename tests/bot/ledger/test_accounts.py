"""What the ledger says of accounts and of models."""

import math
from pathlib import Path

import pytest

from bot.ledger import account_summary, holds, model_performance, new_revisions, open_reader, open_writer, tables
from bot.ledger.tables import event_text
from tests.harness import filled, model_of, rows_at, world_of

A, B = model_of(1), model_of(2)


def test_a_model_is_credited_with_its_own_stretches_only(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        for model, hours in ((A, range(30, 36)), (B, range(36, 48)), (A, range(48, 54))):
            with world.poller(model) as poller:
                world.run(poller, hours)
        rows = world.rows()
        ledger = open_reader(world.url)
        with ledger.reading() as connection:
            of_a, of_b = (model_performance(connection, model.model_id)["main"] for model in (A, B))
        ledger.close()
    values = [row[14] for row in rows["decisions"]]
    holdings = [row[15] for row in rows["decisions"]]
    stretches = {"a": [(0, 5), (18, 23)], "b": [(6, 17)]}
    for found, name in ((of_a, "a"), (of_b, "b")):
        for column, key in ((values, "value_log_return"), (holdings, "hold_value_log_return")):
            expected = sum(math.log(column[last] / column[first]) for first, last in stretches[name])
            assert found[key] == pytest.approx(expected, abs=1e-12)
        assert found["bars"] == 12
    times = [row[1] for row in rows["decisions"]]
    assert (of_a["first"], of_a["last"]) == (times[0], times[-1])
    assert of_a["trades"] + of_b["trades"] == len(rows["fills"])


def test_the_newest_link_is_told_and_found_while_it_is_there(tmp_path: Path) -> None:
    """Erasing the newest bars with their state leaves a ledger that verifies: only a link kept elsewhere shows it."""
    url = f"sqlite:///{filled(tmp_path / 'ledger.sqlite', A)}"
    ledger = open_writer(url)
    with ledger.writing() as connection:
        link = account_summary(connection, "main")["chain"]
        assert link == rows_at(url)["decisions"][-1][-2]
        assert holds(connection, link)
        assert not holds(connection, "0" * 64)
        newest = account_summary(connection, "main")["bar_time"]
        connection.exec_driver_sql("DELETE FROM states")
        connection.exec_driver_sql(f"DELETE FROM fills WHERE bar_time = {newest}")
        connection.exec_driver_sql(f"DELETE FROM decisions WHERE bar_time = {newest}")
    with ledger.reading() as connection:
        assert not holds(connection, link)
    ledger.close()


def test_a_revision_is_looked_up_without_reading_all_of_them(tmp_path: Path) -> None:
    ledger = open_writer(f"sqlite:///{filled(tmp_path / 'ledger.sqlite', A)}")
    details = [{"bar_time": number, "now": [1.5, 2.0]} for number in range(20_000)]
    with ledger.writing() as connection:
        connection.execute(
            tables.events.insert(),
            [{"at": 1.0, "kind": "revision", "detail": event_text(detail)} for detail in details]
            + [{"at": 1.0, "kind": "note", "detail": event_text({"bar_time": -1})}],
        )
    with ledger.reading() as connection:
        unknown = [{"bar_time": -1}, {"bar_time": 7, "now": [1.5, 2.5]}]
        assert new_revisions(connection, [*details[:3], *unknown]) == unknown
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT id FROM events WHERE kind = 'revision' AND detail = ? LIMIT 1", ("x",)
        ).all()
    assert "ix_events_revision" in str(plan)
    ledger.close()
