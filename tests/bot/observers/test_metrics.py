"""/metrics and /healthz, asked over HTTP while bars are decided."""

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot.ledger import tables
from bot.observers import Observers
from bot.observers.metrics import Metrics, serve
from bot.observers.setup import make_observers
from bot.service import Poller
from bot.simulator.generate import START
from bot.trading import Trader
from tests.harness import HOUR, World, environment, model_of, settings_of, world_of

WAIT = 20.0
COLUMNS = [column.name for column in tables.decisions.columns]


@contextmanager
def watched(world: World) -> Iterator[tuple[Metrics, str]]:
    """Metrics of the world's account, served."""
    metrics = Metrics(world.settings(), world.dial.clock)
    server = serve(metrics, "127.0.0.1", 0)
    try:
        yield metrics, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def ask(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=WAIT) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(url: str) -> dict[tuple[str, ...], float]:
    """Every sample of /metrics: its name and the values of its labels, by the labels' names."""
    values: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(ask(f"{url}/metrics")[1]):
        for sample in family.samples:
            values[sample.name, *(value for _, value in sorted(sample.labels.items()))] = sample.value
    return values


def watch(poller: Poller, metrics: Metrics) -> Observers:
    poller.observers = Observers([metrics])
    poller.observers.on_accounts(poller.account_states)
    return poller.observers


def test_every_figure_is_the_ledgers(tmp_path: Path) -> None:
    with world_of(tmp_path) as world, watched(world) as (metrics, url), world.poller(model_of(11)) as poller:
        observers = watch(poller, metrics)
        world.run(poller, range(30, 40), second=42.0)
        poller.observers.on_event("poll_failed", cause="exchange")
        poller.observers.on_event("model_rejected", error="bad")
        observers.close(WAIT)
        decisions = world.rows()["decisions"]
        last = dict(zip(COLUMNS, decisions[-1], strict=True))
        gauges = samples(url)
        for name in ("balance", "stocks", "value", "hold_value", "state_value"):
            assert gauges[f"hourhand_{name}", "main"] == last[name]
        for action in ("hold", "buy", "sell"):
            assert gauges["hourhand_probability", "main", action] == last[f"p_{action}"]
        close = world.exchange.candles[39].close
        assert gauges["hourhand_exposure_ratio", "main"] == pytest.approx(last["stocks"] * close / last["value"])
        assert gauges["hourhand_bar_time_seconds", "main"] == START + 39 * HOUR
        assert gauges["hourhand_decision_delay_seconds", "main"] == 42.0
        assert gauges["hourhand_lag_seconds", "main"] == 42.0
        assert gauges["hourhand_bar_age_seconds", "main"] == HOUR + 42.0
        assert gauges["hourhand_model_info", "main", last["model_id"]] == 1
        counted = {key: value for key, value in gauges.items() if key[0] == "hourhand_decisions_total"}
        assert sum(counted.values()) == 10
        for (_, _, action, reason), value in counted.items():
            assert value == sum((row[2], row[3]) == (action, reason) for row in decisions)
        assert gauges["hourhand_commit_seconds_count",] == 10
        assert gauges["hourhand_poll_errors_total", "exchange"] == 1
        assert gauges["hourhand_poll_errors_total", "ledger"] == 0
        assert gauges["hourhand_model_changes_total", "rejected"] == 1
        assert gauges["process_resident_memory_bytes",] > 1e7


def test_health_is_the_age_of_the_bar_not_of_the_process(tmp_path: Path) -> None:
    with world_of(tmp_path) as world, watched(world) as (metrics, url), world.poller(model_of(1)) as poller:
        observers = watch(poller, metrics)
        assert ask(f"{url}/healthz") == (503, "not healthy: no bar has been decided yet\n")
        world.run(poller, [30])
        observers.close(WAIT)
        assert ask(f"{url}/healthz")[0] == 200
        assert samples(url)["hourhand_healthy",] == 1
        world.dial.now += 3 * HOUR
        code, sentence = ask(f"{url}/healthz")
        assert (code, sentence.split(":")[0]) == (503, "not healthy")
        gauges = samples(url)
        assert gauges["hourhand_healthy",] == 0
        assert gauges["hourhand_lag_seconds", "main"] == 30 + 3 * HOUR


def test_a_restart_shows_what_the_ledger_knows_before_the_next_bar(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        with world.poller(model_of(11)) as poller:
            world.run(poller, range(30, 36))
        value = world.rows()["decisions"][-1][COLUMNS.index("value")]
        with watched(world) as (metrics, url), world.poller(model_of(11)) as poller:
            watch(poller, metrics).close(WAIT)
            gauges = samples(url)
            assert gauges["hourhand_value", "main"] == value
            assert gauges["hourhand_bar_time_seconds", "main"] == START + 35 * HOUR
            assert ask(f"{url}/healthz")[0] == 200


def test_an_account_that_has_gone_is_shown_no_more(tmp_path: Path) -> None:
    with world_of(tmp_path) as world, watched(world) as (metrics, url), world.poller(model_of(1)) as poller:
        main = poller.account_states[0].trader
        observers = watch(poller, metrics)
        poller.use([main, Trader(main.terms._replace(name="shadow-2"), model_of(2))])
        world.run(poller, [30])
        poller.use([main])
        observers.on_accounts(poller.account_states)
        observers.close(WAIT)
        accounts = {key[1] for key in samples(url) if key[0] in ("hourhand_value", "hourhand_lag_seconds")}
        assert accounts == {"main"}


def test_other_pages_other_methods_and_nonsense_are_refused(tmp_path: Path) -> None:
    with world_of(tmp_path) as world, watched(world) as (_, url):
        assert ask(f"{url}/")[0] == 404
        assert ask(f"{url}/metrics/../etc/passwd")[0] == 404
        post = urllib.request.Request(f"{url}/metrics", data=b"x")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(post, timeout=WAIT)
        refused.value.close()
        assert refused.value.code == 501
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=WAIT) as nonsense:
            nonsense.sendall(b"\x00\xff nonsense\r\n\r\n")
            assert b"400" in nonsense.recv(4096)
        assert ask(f"{url}/healthz")[0] == 503


def test_a_taken_port_is_a_warning(tmp_path: Path, log_lines: list[Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, world_of(tmp_path) as world:
        port = taken.getsockname()[1]
        observers = make_observers(world.settings(health={"port": port}), world.dial.clock, stays=True)
        observers.on_event("gap")
    assert [line["event"] for line in log_lines] == ["metrics_off"]
    assert str(port) in log_lines[0]["error"]


def test_nothing_is_loaded_where_it_is_off() -> None:
    code = (
        "import sys, bot.commands.run; from bot.observers.setup import make_observers\n"
        "from bot.settings import Settings; from bot.clock import Clock\n"
        "make_observers(Settings(), Clock(), stays=True)\n"
        "print({'prometheus_client', 'apprise', 'bot.observers.metrics'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(PYTHONPATH=str(Path(__file__).parents[3])),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"
    assert settings_of().health.port == 0
