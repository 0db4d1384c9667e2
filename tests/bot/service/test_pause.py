"""A pause is asked for in a file and carried out by the daemon: bars are observed, and not traded on."""

import json
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from bot.errors import UsageError
from bot.ledger import open_reader, verify
from bot.model import pauses
from bot.service import Poller, paused_accounts
from bot.settings import load_settings
from bot.simulator import generate_candles
from tests.harness import World, events_at, hourhand, model_of, poll, world_of

BUYER = model_of(3, bias=(-2.0, 3.0, 3.0))  # trades at most bars


def reasons(world: World) -> list[str]:
    return [row[3] for row in world.rows()["decisions"]]


def pause_events(world: World) -> list[str]:
    return [kind for kind in events_at(world.url) if kind in {"paused", "resumed"}]


def differences(world: World) -> list[str]:
    ledger = open_reader(world.url)
    with ledger.reading() as connection:
        found = verify(connection).differences
    ledger.close()
    return found


def policy(world: World) -> dict[str, Any]:
    return {"model": str(world.folder / "models" / "current")}


def test_paused_bars_are_observed_and_not_traded_on(tmp_path: Path) -> None:
    with world_of(tmp_path) as world, world.poller(BUYER, policy=policy(world)) as poller:
        pointer = Path(policy(world)["model"])
        world.run(poller, range(30, 34))
        pauses.pause(pointer, ["main"], world.dial.now)
        world.run(poller, range(34, 38))
        before = world.rows()["decisions"][4:8]
        pauses.resume(pointer, ["main"])
        world.run(poller, range(38, 42))
        assert reasons(world)[4:8] == ["paused"] * 4
        assert "paused" not in reasons(world)[:4] + reasons(world)[8:]
        assert {row[2] for row in before} == {"hold"}
        assert {row[12:14] for row in before} == {before[0][12:14]}
        assert pause_events(world) == ["paused", "resumed"]
        assert differences(world) == []


def test_the_event_is_in_the_transaction_of_its_bar(tmp_path: Path) -> None:
    with world_of(tmp_path) as world, world.poller(BUYER, policy=policy(world)) as poller:
        world.run(poller, range(30, 32))
        pauses.pause(Path(policy(world)["model"]), ["main"], world.dial.now)
        poll(poller)
        assert pause_events(world) == []
        world.run(poller, [32])
        ledger = open_reader(world.url)
        with ledger.reading() as connection:
            detail = connection.exec_driver_sql("SELECT detail FROM events WHERE kind = 'paused'").scalar_one()
        ledger.close()
        assert json.loads(detail) == {"account": "main", "bar_time": world.rows()["decisions"][-1][1]}


def test_a_pause_survives_a_restart_and_is_told_once(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        pauses.pause(Path(policy(world)["model"]), ["main"], 0.0)
        for hours in (range(30, 33), range(33, 36)):
            with world.poller(BUYER, policy=policy(world)) as poller:
                world.run(poller, hours)
        assert reasons(world) == ["paused"] * 6
        assert pause_events(world) == ["paused"]


def test_hours_that_the_exchange_lacks_stay_synthetic(tmp_path: Path) -> None:
    candles = generate_candles(60, seed=3, holes=0.0, quiet=0.0)
    with world_of(tmp_path, [c for n, c in enumerate(candles) if n != 40]) as world:
        pauses.pause(Path(policy(world)["model"]), ["main"], 0.0)
        with world.poller(BUYER, policy=policy(world)) as poller:
            world.run(poller, [38, 39, 41, 42])
        assert reasons(world) == ["paused", "paused", "synthetic", "paused", "paused"]
        assert pause_events(world) == ["paused"]
        assert differences(world) == []


def test_a_file_that_says_nothing_stops_a_start_and_changes_nothing_later(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        pointer = Path(policy(world)["model"])
        pauses.pause(pointer, ["main"], 0.0)
        with world.poller(BUYER, policy=policy(world)) as poller:
            pauses.pause_file(pointer).write_text("{")
            world.run(poller, [30])
            assert reasons(world) == ["paused"]
        with pytest.raises(UsageError, match=r"current\.paused"), world.poller(BUYER, policy=policy(world)):
            pass


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["pause", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["paused"]) == ["main"]
    assert main(["pause"]) == 0
    assert capsys.readouterr().out.startswith("account main is paused, requested at ")
    assert main(["pause", "--account", "nobody"]) == 2
    assert "nobody: no such account; the accounts are main" in capsys.readouterr().err
    assert main(["resume", "--account", "main"]) == 0
    assert capsys.readouterr().out == "no account is paused\n"
    assert pauses.read_paused(Path("models/current")) == {}


def test_a_pause_holds_for_the_next_run(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        world.dial.now += 40 * 3600
        env = {
            "HOURHAND_EXCHANGE__BASE_URL": world.exchange.url,
            "HOURHAND_CLOCK": f"@{world.dial.now}",
            "HOURHAND_LEDGER__URL": world.url,
            "HOURHAND_SCHEDULE__WARMUP_BARS": "20",
            "HOURHAND_POLICY__MODEL": "rule:hold",
        }
        assert hourhand("pause", cwd=tmp_path, **env).returncode == 0
        done = hourhand("run", "--once", cwd=tmp_path, **env)
        assert done.returncode == 0, done.stderr
        assert reasons(world) == ["paused"]


def test_a_poller_that_runs_says_so_before_the_next_bar(tmp_path: Path, log_lines: list[Any]) -> None:
    with world_of(tmp_path) as world, world.poller(BUYER, policy=policy(world)) as poller:
        assert isinstance(poller, Poller)
        pauses.pause(Path(policy(world)["model"]), ["main"], 0.0)
        assert poller.pauses.accounts() == {"main"}
        assert [(line["event"], line["accounts"]) for line in log_lines] == [("paused", ["main"])]


def test_a_pause_is_seen_wherever_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rule, which has no pointer, the place counts from the folder of the settings."""
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "hourhand.toml").write_text('[policy]\nmodel = "rule:hold"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["pause", "--config", "there/hourhand.toml"]) == 0
    monkeypatch.chdir(folder)
    assert list(paused_accounts(load_settings(None, {}))) == ["main"]
    assert [file.name for file in tmp_path.iterdir()] == ["there"]
