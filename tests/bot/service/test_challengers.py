"""Several accounts on one market: the same candles, one poll, one transaction a bar, and nothing of each other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, event

from bot.errors import UsageError
from bot.ledger import open_reader, open_writer, verify
from bot.market import Feed
from bot.model import registry, save_model
from bot.model.features import RETURNS
from bot.service import Poller
from bot.service.traders import load_traders
from bot.settings import Challenger
from bot.trading import Trader
from tests.harness import Rows, World, model_of, rows_at, world_of

MODELS = [model_of(seed) for seed in range(6)] + [model_of(seed, RETURNS, "heads") for seed in range(5)]
IDS = [model.model_id for model in MODELS]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    for model in MODELS:
        save_model(model, tmp_path / "models" / model.model_id)
    registry.promote(tmp_path / "models" / "current", IDS[0], 10.0)
    with world_of(tmp_path) as world:
        yield world


def pointer(world: World) -> Path:
    return world.folder / "models" / "current"


def traders(world: World, *challengers: Challenger) -> list[Trader]:
    settings = world.settings(policy={"model": str(pointer(world))})
    return load_traders(msgspec.structs.replace(settings, challengers=challengers))


@contextmanager
def polling(world: World, traders: Sequence[Trader], name: str = "ledger") -> Iterator[Poller]:
    settings = world.settings()
    ledger = open_writer(f"sqlite:///{world.folder}/{name}.sqlite")
    feed = Feed(settings.exchange, world.dial.clock)
    try:
        yield Poller(settings, world.dial.clock, ledger, traders, feed)
    finally:
        ledger.close()


def account(rows: Rows, name: str) -> dict[str, list[tuple[Any, ...]]]:
    """An account's own rows."""
    return {table: [row for row in rows[table] if row[0] == name] for table in ("decisions", "fills", "states")}


def proven(world: World, name: str = "ledger") -> int:
    """How many bars of how many accounts the ledger proves."""
    ledger = open_reader(f"sqlite:///{world.folder}/{name}.sqlite")
    with ledger.reading() as connection:
        verdict = verify(connection)
    ledger.close()
    assert verdict.differences == []
    return verdict.bars


def test_the_settings_and_the_registry_name_the_traders(world: World) -> None:
    registry.shadow(pointer(world), IDS[2])
    challengers = [
        Challenger("b", str(world.folder / "models" / IDS[1]), "argmax"),
        Challenger("c", str(pointer(world))),
    ]
    identities = [(t.terms.name, t.model.model_id, t.mode) for t in traders(world, *challengers)]
    assert identities == [
        ("main", IDS[0], "sample"),
        ("b", IDS[1], "argmax"),
        ("c", IDS[0], "sample"),
        (f"shadow-{IDS[2]}", IDS[2], "sample"),
    ]


def test_two_accounts_of_one_name_are_refused(world: World) -> None:
    with pytest.raises(UsageError, match="two accounts are called main"):
        traders(world, Challenger("main", str(pointer(world))))


def test_ten_challengers_cost_one_poll_and_one_transaction_a_bar(world: World) -> None:
    def cost(crowd: Sequence[Trader], name: str) -> tuple[int, int]:
        with polling(world, crowd, name) as poller:
            world.run(poller, range(100, 102))
            commits: list[object] = []

            def count(connection: object) -> None:
                commits.append(connection)

            event.listen(Engine, "commit", count)
            asked = world.exchange.requests.total()
            world.run(poller, range(102, 107))
            event.remove(Engine, "commit", count)
            return world.exchange.requests.total() - asked, len(commits)

    alone = cost(traders(world), "alone")
    for model_id in IDS[1:]:
        registry.shadow(pointer(world), model_id)
    assert cost(traders(world), "eleven") == alone == (5, 5)
    assert proven(world, "eleven") == 11 * 7


def test_each_account_is_what_it_would_be_alone(world: World) -> None:
    for model_id in IDS[1:3]:
        registry.shadow(pointer(world), model_id)
    crowd = traders(world)
    with polling(world, crowd) as poller:
        world.run(poller, range(60, 120))
    together = rows_at(world.url)
    for place, trader in enumerate(crowd):
        with polling(world, [trader], f"alone{place}") as poller:
            world.run(poller, range(60, 120))
        alone = rows_at(f"sqlite:///{world.folder}/alone{place}.sqlite")
        assert account(together, trader.terms.name) == account(alone, trader.terms.name)
        assert len(alone["decisions"]) == 60
    assert proven(world) == 3 * 60


def test_a_challenger_that_comes_later_begins_at_the_newest_bar(world: World) -> None:
    with polling(world, traders(world)) as poller:
        world.run(poller, range(60, 65))
        registry.shadow(pointer(world), IDS[1])
        poller.use(traders(world))
        world.run(poller, range(65, 70))
    rows = rows_at(world.url)["decisions"]
    assert [row[0] for row in rows].count("main") == 10
    assert [row[0] for row in rows].count(f"shadow-{IDS[1]}") == 5
    assert proven(world) == 15


def test_a_challenger_that_was_away_has_missed_those_bars(world: World) -> None:
    name = f"shadow-{IDS[1]}"
    with polling(world, traders(world)) as poller:
        for on, hours in ((True, range(60, 63)), (False, range(63, 68)), (True, range(68, 71))):
            (registry.shadow if on else registry.unshadow)(pointer(world), IDS[1])
            poller.use(traders(world))
            world.run(poller, hours)
    rows = account(rows_at(world.url), name)["decisions"]
    assert [row[3] for row in rows] == ["policy"] * 3 + ["missed"] * 5 + ["policy"] * 3
    assert proven(world) == 22


def test_a_shadow_that_is_promoted_is_a_shadow_no_longer(world: World) -> None:
    registry.shadow(pointer(world), IDS[1])
    with polling(world, traders(world)) as poller:
        world.run(poller, range(60, 65))
        registry.promote(pointer(world), IDS[1], 20.0)
        poller.use(traders(world))
        world.run(poller, range(65, 70))
    rows = rows_at(world.url)["decisions"]
    assert [row[9] for row in rows if row[0] == "main"] == [IDS[0]] * 5 + [IDS[1]] * 5
    assert {row[9] for row in rows if row[0] != "main"} == {IDS[1]}
    assert proven(world) == 15
