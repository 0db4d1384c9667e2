"""Rules that trade live: on accounts of their own, in place of a network and back, proven by the same `verify`."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from bot.ledger import open_reader, open_writer, verify
from bot.market import Feed
from bot.model import Model, registry, rule_model, save_model
from bot.service import Poller, require_timeframe
from bot.service.traders import TraderWatcher, load_traders
from bot.settings import Challenger
from bot.simulator import generate_candles
from bot.simulator.generate import START
from bot.trading import Trader
from tests.harness import HOUR, World, hourhand, model_of, settings_of, world_of

RULES = ["rule:hold", "rule:mix?share=0.4&band=0.02", "rule:trend?days=2", "rule:random?turnover=5"]
NAMES = {rule: rule.removeprefix("rule:").partition("?")[0] for rule in RULES}
NETWORK = model_of(1)


def differences(url: str) -> list[str]:
    ledger = open_reader(url)
    with ledger.reading() as connection:
        verdict = verify(connection)
    ledger.close()
    return verdict.differences


def polls(world: World, traders: Sequence[Trader], hours: Sequence[int]) -> None:
    ledger = open_writer(world.url)
    try:
        feed = Feed(world.settings().exchange, world.dial.clock)
        world.run(Poller(world.settings(), world.dial.clock, ledger, traders, feed), hours)
    finally:
        ledger.close()


def test_every_rule_trades_beside_a_network_and_is_proven(tmp_path: Path) -> None:
    save_model(NETWORK, tmp_path / "model")
    with world_of(tmp_path) as world:
        settings = world.settings(policy={"model": str(tmp_path / "model")}, schedule={"warmup_bars": 60})
        challengers = tuple(Challenger(NAMES[rule], rule) for rule in RULES)
        traders = load_traders(msgspec.structs.replace(settings, challengers=challengers))
        assert [trader.model.model_id for trader in traders[1:]] == [
            rule_model(rule.removeprefix("rule:")).model_id for rule in RULES
        ]
        polls(world, traders, range(70, 100))
        polls(world, traders, [*range(100, 110), 130, *range(131, 150)])  # a restart, and hours that are missed
        decisions = world.rows()["decisions"]
        for rule, trades in zip(RULES, (0, 1, 1, 1), strict=True):
            own = [row for row in decisions if row[0] == NAMES[rule]]
            assert len(own) == 80
            assert sum(row[2] != "hold" for row in own) >= trades
            assert {row[3] for row in own} >= {"policy", "missed"}
            if "random" not in rule:
                assert {p for row in own for p in row[4:7]} <= {0.0, 1.0}
        assert {row[2] for row in decisions if row[0] == "hold"} == {"hold"}
        assert differences(world.url) == []


@pytest.mark.parametrize("rule", RULES)
def test_a_network_and_a_rule_take_over_from_one_another(tmp_path: Path, rule: str) -> None:
    model = rule_model(rule.removeprefix("rule:"))
    with world_of(tmp_path) as world:
        for number, which in enumerate([NETWORK, model, NETWORK, model, model]):
            with world.poller(which) as poller:
                world.run(poller, range(30 + 4 * number, 34 + 4 * number))
        rows = world.rows()["decisions"]
        assert [row[9] for row in rows[::4]] == [m.model_id for m in (NETWORK, model, NETWORK, model, model)]
        warmed_up = [(row[1] - START) // HOUR for row in rows if row[18] is not None]
        assert warmed_up == [30, 34, 38, 42]
        assert differences(world.url) == []


@pytest.mark.parametrize("harm", ["DELETE FROM states", "UPDATE states SET hidden = zeroblob(800)"])
@pytest.mark.parametrize(
    "model", [rule_model("hold"), rule_model("trend?days=1"), NETWORK], ids=["hold", "trend", "network"]
)
def test_a_memory_that_is_lost_or_of_another_length_is_made_again(tmp_path: Path, model: Model, harm: str) -> None:
    with world_of(tmp_path) as world:
        with world.poller(model) as poller:
            world.run(poller, range(30, 34))
            with poller.ledger.writing() as connection:
                connection.execute(text(harm))
        with world.poller(model) as poller:
            world.run(poller, [34, 35])
        rows = world.rows()["decisions"]
        assert [row[18] and (row[18] - START) // HOUR for row in rows] == [10, None, None, None, 14, None]
        assert differences(world.url) == []


def test_a_rule_in_the_place_of_the_current_model(tmp_path: Path) -> None:
    """`policy.model` may be a rule: there is no registry then, and nothing to reload."""
    with world_of(tmp_path) as world:
        watcher = TraderWatcher(world.settings(policy={"model": RULES[1]}))
        assert watcher.reload() is None
        watcher.recheck()
        again = watcher.reload()
        assert again is not None
        assert again.traders[0].model.model_id == watcher.traders[0].model.model_id
        polls(world, watcher.traders, range(30, 40))
        assert differences(world.url) == []


def test_a_published_rule_is_promoted_and_rolled_back(tmp_path: Path) -> None:
    pointer = tmp_path / "models" / "current"
    for model in (NETWORK, rule_model("hold")):
        registry.publish(pointer, model)
        registry.promote(pointer, model.model_id, 1.0)
    with world_of(tmp_path) as world:
        watcher = TraderWatcher(world.settings(policy={"model": str(pointer)}))
        assert watcher.traders[0].model.model_id == rule_model("hold").model_id
        registry.rollback(pointer, 2.0)
        reloaded = watcher.reload()
        assert reloaded is not None
        assert reloaded.traders[0].model.model_id == NETWORK.model_id


def test_a_rule_fits_bars_of_any_length() -> None:
    require_timeframe(rule_model("hold"), settings_of(exchange={"timeframe": "15m"}))


def test_the_commands_know_rules(tmp_path: Path) -> None:
    """`replay --model`, `verify`, `status`, `doctor`, and the refusal of what is none."""
    candles = tmp_path / "candles.csv"
    lines = [",".join(map(str, candle[:6])) for candle in generate_candles(120, seed=4, holes=0.0)]
    candles.write_text("\n".join(["t,o,h,l,c,v", *lines]) + "\n")
    url = f"sqlite:///{tmp_path}/replay.sqlite"
    given = ("replay", "--candles", str(candles), "--warmup", "20", "--ledger", url, "--json")
    done = hourhand(*given, "--model", "rule:mix?share=0.5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model_id = json.loads(done.stdout)["model_id"]
    assert model_id == rule_model("mix?share=0.5").model_id
    env = {"HOURHAND_LEDGER__URL": url, "HOURHAND_POLICY__MODEL": "rule:mix?share=0.5"}
    assert json.loads(hourhand("verify", "--json", cwd=tmp_path, **env).stdout)["differences"] == 0
    assert json.loads(hourhand("status", "--json", cwd=tmp_path, **env).stdout)["model_id"] == model_id
    doctor = hourhand("doctor", "--json", cwd=tmp_path, HOURHAND_EXCHANGE__BASE_URL="http://127.0.0.1:9", **env)
    model = next(check for check in json.loads(doctor.stdout)["checks"] if check["name"] == "model")
    assert model["ok"]
    assert "rule mix?band=0.15&share=0.5" in model["detail"]
    refused = hourhand(*given, "--model", "rule:tea", cwd=tmp_path)
    assert refused.returncode == 5
    assert refused.stderr == "hourhand: there is no rule 'tea'; the rules are hold, mix, random, trend\n"
