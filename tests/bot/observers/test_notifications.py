"""Notifications and pings, sent to real receivers on this machine: good ones, bad ones, and one that hangs."""

import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from bot.clock import Clock
from bot.errors import ModelError, UsageError
from bot.ledger import open_writer, tables
from bot.market import Feed
from bot.model import save_model
from bot.observers import Observers
from bot.observers.notifications import Notifier, Ping
from bot.observers.setup import make_observers
from bot.service import Markets, Poller, TraderWatcher, Waiter, run
from bot.simulator.generate import START
from tests.harness import HOUR, World, events_at, hourhand, model_of, world_of

# Apprise imports a module that Python 3.11 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

WAIT = 20.0
VALUE = [column.name for column in tables.decisions.columns].index("value")
TRADES = model_of(11)  # at most bars
BUYS = model_of(11, bias=(-30.0, 30.0, -30.0))


class Receiver:
    """An HTTP server that keeps what it is sent, and answers with `status` once `answers` is set."""

    def __init__(self) -> None:
        self.got: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(f"{body['title']}\n{body['message']}")

            def do_GET(self) -> None:
                self.answer(self.path)

            def answer(self, got: str) -> None:
                receiver.got.put(got)
                receiver.answers.wait(WAIT)
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that has given up

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def all(self) -> list[str]:
        return [self.got.get() for _ in range(self.got.qsize())]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.answers.set()
    made.server.shutdown()
    made.server.server_close()


@contextmanager
def notified_poller(world: World, receiver: Receiver, **notify: Any) -> Iterator[tuple[Poller, Notifier]]:
    """A poller whose bars a notifier is told of at once, in this thread; the test calls `tick`."""
    notify = {"urls": f"json://{receiver.address}/key", "every_seconds": 0} | notify
    with world.poller(TRADES) as poller:
        notifier = Notifier(world.settings(notify=notify), world.dial.clock)
        poller.observers = Straight(notifier)
        poller.observers.on_accounts(poller.account_states)
        yield poller, notifier


class Straight(Observers):
    """Calls an observer in the daemon's own thread, so that a test knows when it is done."""

    def __init__(self, observer: Any) -> None:
        super().__init__()
        self.observer = observer

    def on_accounts(self, account_states: Any) -> None:
        self.observer.on_accounts(account_states)

    def on_bar(self, entries: Any, seconds: float) -> None:
        self.observer.on_bar(entries, seconds)

    def on_event(self, kind: str, **detail: Any) -> None:
        self.observer.on_event(kind, detail)


def test_a_fill_is_told_as_the_ledger_has_it(tmp_path: Path, receiver: Receiver) -> None:
    with world_of(tmp_path) as world, notified_poller(world, receiver, summary=False) as (poller, notifier):
        world.run(poller, range(30, 36))
        fills = world.rows()["fills"]
        assert fills
        assert notifier.tick(last=False)
        (message,) = receiver.all()
        title, *lines = message.splitlines()
        assert title == "hourhand main"
        assert len(lines) == len(fills)
        for line, (_, _, side, price, amount, cost, _) in zip(lines, fills, strict=True):
            assert f"{'bought' if side == 'buy' else 'sold'} {amount:.8f} at {price:,.2f} for {cost:,.2f}" in line
        assert not notifier.tick(last=False)


def test_fills_and_summaries_can_be_turned_off(tmp_path: Path, receiver: Receiver) -> None:
    with (
        world_of(tmp_path) as world,
        notified_poller(world, receiver, fills=False, summary=False) as (poller, notifier),
    ):
        world.run(poller, range(22, 26))
        assert world.rows()["fills"]
        assert not notifier.tick(last=True)
        assert receiver.all() == []


def test_the_day_is_summed_up_when_its_last_bar_is_decided_even_by_a_later_process(
    tmp_path: Path, receiver: Receiver
) -> None:
    with world_of(tmp_path) as world:
        with world.poller(TRADES) as poller:
            world.run(poller, range(20, 40))
        with notified_poller(world, receiver, fills=False) as (poller, notifier):
            world.run(poller, range(40, 47))
            assert not notifier.tick(last=False)
            world.run(poller, [47, 48])
            assert notifier.tick(last=False)
        decisions, fills = world.rows()["decisions"], world.rows()["fills"]
        day = [row for row in decisions if START + 24 * HOUR <= row[1] < START + 48 * HOUR]
        trades = sum(START + 24 * HOUR <= row[1] < START + 48 * HOUR for row in fills)
        before = next(row for row in decisions if row[1] == START + 23 * HOUR)
        change, hold = (day[-1][column] / before[column] - 1 for column in (VALUE, VALUE + 1))
        excess = day[-1][VALUE] - day[-1][VALUE + 1]
        (message,) = receiver.all()
        assert message.splitlines()[1].partition("; newest link")[0] == (
            f"2020-01-02: 24 bars, {trades} trades; value {day[-1][VALUE]:,.2f} ({change:+.2%}; holding {hold:+.2%}), "
            f"{abs(excess):,.2f} {'more' if excess >= 0 else 'less'} than holding"
        )


def test_messages_are_collected_between_two_of_them(tmp_path: Path, receiver: Receiver) -> None:
    with world_of(tmp_path) as world, notified_poller(world, receiver, every_seconds=1e6) as (_, notifier):
        notifier.on_event("exchange_error", {"error": "first", "failures": 1, "for_seconds": 0})
        assert notifier.tick(last=False)
        for number in range(40):
            notifier.on_event("exchange_error", {"error": f"later {number}"})
            assert not notifier.tick(last=False)
        assert len(receiver.all()) == 1
        assert notifier.tick(last=True)
        lines = receiver.all()[0].splitlines()
        assert lines[1] == "and 10 more before these"
        assert [line.rsplit(" ", 1)[1] for line in lines[2:]] == [str(number) for number in range(10, 40)]


def test_a_refused_message_is_sent_again_with_what_came_later(tmp_path: Path, receiver: Receiver) -> None:
    with world_of(tmp_path) as world, notified_poller(world, receiver) as (_, notifier):
        receiver.status = 500
        notifier.on_event("model_rejected", {"error": "bad weights"})
        with pytest.raises(OSError, match="500"):
            notifier.tick(last=False)
        receiver.status = 200
        notifier.on_event("model_swapped", {"before": "a", "now": "b"})
        assert notifier.tick(last=False)
        refused, sent = receiver.all()
        assert "a model was refused, the one before trades on: bad weights" in refused
        assert sent.startswith(refused)
        assert "another model decides: before a, now b" in sent


def test_bars_that_stay_away_are_told_once_and_when_they_come_again(tmp_path: Path, receiver: Receiver) -> None:
    with (
        world_of(tmp_path) as world,
        notified_poller(world, receiver, fills=False, summary=False) as (poller, notifier),
    ):
        world.run(poller, [30])
        assert not notifier.tick(last=False)
        world.dial.now += HOUR + 910
        assert notifier.tick(last=False)
        world.dial.now += 60
        assert not notifier.tick(last=False)
        world.run(poller, [32])
        assert notifier.tick(last=False)
        stale, again = receiver.all()
        assert "not healthy: the newest decided bar, 2020-01-02T06:00:00Z, closed 1 h" in stale
        assert "healthy again: the bar of 2020-01-02T08:00:00Z is decided" in again


def test_a_ping_a_poll_and_none_without_a_bar(tmp_path: Path, receiver: Receiver) -> None:
    ping = Ping(f"http://{receiver.address}/ping/1")
    with world_of(tmp_path) as world, world.poller(TRADES) as poller:
        poller.observers = Straight(ping)
        assert not ping.tick(last=False)
        world.run(poller, [30, 33])  # the second decides three bars
        assert ping.tick(last=False)
        assert not ping.tick(last=False)
        receiver.status = 404
        world.run(poller, [34])
        with pytest.raises(OSError, match="404") as refused:
            ping.tick(last=False)
        refused.value.close()  # type: ignore[attr-defined]  # an HTTPError
        receiver.status = 200
        assert ping.tick(last=False)
    assert receiver.all() == ["/ping/1"] * 3


class Heard(Observers):
    """Observers, and what a test can wait for: bars, and news of observers."""

    def __init__(self, *observers: Any) -> None:
        super().__init__(observers, hangs=1.0)
        self.bars: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.said: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def on_bar(self, entries: Any, seconds: float) -> None:
        super().on_bar(entries, seconds)
        self.bars.put(entries[0].step.decision.bar_time)

    def outage_events(self, now: float) -> Iterator[Any]:
        for kind, detail in super().outage_events(now):
            self.said.put((kind, detail))
            yield kind, detail


@contextmanager
def daemon(world: World, observers: Heard) -> Iterator[Callable[[], None]]:
    """The daemon's loop in a thread; what is yielded waits for its next bar, an hour later."""
    folder = world.folder / "model"
    save_model(BUYS, folder)
    settings = world.settings(policy={"model": str(folder)})
    clock = Clock(speed=1000, source=lambda: world.dial.now / 1000, simulated=True)  # short waits
    with closing(open_writer(settings.ledger.url)) as ledger:
        waiter, feed = Waiter(), Feed(settings.exchange, world.dial.clock)
        markets = Markets(TraderWatcher(settings), clock, ledger, lambda _: feed, observers)
        thread = threading.Thread(target=run, args=(markets, 20.0, waiter))
        thread.start()

        def next_bar() -> None:
            world.dial.now += HOUR
            waiter.wake()
            observers.bars.get(timeout=WAIT)

        try:
            observers.bars.get(timeout=WAIT)
            yield next_bar
        finally:
            waiter.stop()
            thread.join(WAIT)


def test_a_receiver_that_hangs_delays_no_bar_and_is_told_of(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers.clear()
    with world_of(tmp_path) as world:
        world.dial.now = START + 31 * HOUR + 30
        notify = {"urls": f"json://{receiver.address}/key?rto=30", "every_seconds": 0}
        observers = Heard(Notifier(world.settings(notify=notify), world.dial.clock))
        with daemon(world, observers) as next_bar:
            receiver.got.get(timeout=WAIT)  # the first fill; it hangs from here on
            for _ in range(12):
                next_bar()
            kind, detail = observers.said.get(timeout=WAIT)
            assert (kind, detail["error"]) == ("notifier_down", "no answer in 1 s")
            next_bar()
            receiver.answers.set()
            while observers.said.get(timeout=WAIT)[0] != "notifier_up":
                pass
        observers.close(WAIT)
        rows = world.rows()["decisions"]
        assert [row[1] for row in rows] == [START + hour * HOUR for hour in range(30, 44)]
        assert {row[3] for row in rows} <= {"policy", "minimum"}  # decided in time, every one
        events = events_at(world.url)
        assert 1 <= events.count("notifier_down") <= 5  # at its start, and as its length doubles
        assert events.count("notifier_up") == 1
        later = receiver.all()
        assert sum(message.count("bought") for message in later) == len(world.rows()["fills"]) - 1


def test_run_once_sends_before_it_ends(tmp_path: Path, receiver: Receiver) -> None:
    save_model(BUYS, tmp_path / "model")
    with world_of(tmp_path) as world:
        world.dial.now = START + 31 * HOUR + 30
        done = hourhand(
            "run",
            "--once",
            cwd=tmp_path,
            HOURHAND_CLOCK=f"@{world.dial.now}",
            HOURHAND_EXCHANGE__BASE_URL=world.exchange.url,
            HOURHAND_POLICY__MODEL=str(tmp_path / "model"),
            HOURHAND_SCHEDULE__WARMUP_BARS="20",
            HOURHAND_NOTIFY__URLS=f"json://{receiver.address}/key",
            HOURHAND_NOTIFY__PING_URL=f"http://{receiver.address}/ping",
        )
    assert done.returncode == 0, done.stderr
    got = receiver.all()
    assert "/ping" in got
    assert any("bought" in message for message in got)


def test_an_error_that_ends_the_daemon_is_told(tmp_path: Path, receiver: Receiver) -> None:
    missing = {"HOURHAND_POLICY__MODEL": "missing"}
    done = hourhand("run", cwd=tmp_path, HOURHAND_NOTIFY__URLS=f"json://{receiver.address}/key", **missing)
    assert done.returncode == ModelError.exit_code
    (message,) = receiver.all()
    said = done.stderr.strip().removeprefix("hourhand: ")
    assert message == f"hourhand main\nthe daemon ended with an error: {said}"


def test_addresses_that_cannot_be_used_are_wrong_settings_and_stay_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with world_of(tmp_path) as world:
        settings = world.settings(notify={"urls": "json://127.0.0.1/good nonsense-with-a-secret"})
        with pytest.raises(UsageError, match="does not understand address number 2"):
            make_observers(settings, world.dial.clock, stays=False)
    monkeypatch.setenv("HOURHAND_NOTIFY__PING_URL", "ftp://secret")
    assert main(["status"]) == 2
    said = capsys.readouterr().err
    assert "notify.ping_url" in said
    assert "secret" not in said


def test_a_broken_address_sends_nothing_twice_to_a_good_one(tmp_path: Path, receiver: Receiver) -> None:
    urls = f"json://127.0.0.1:1/nobody json://{receiver.address}/key"
    with world_of(tmp_path) as world:
        settings = world.settings(notify={"urls": urls, "every_seconds": 0})
        broken, good = (Notifier(settings, world.dial.clock, number) for number in (1, 2))
        for notifier in (broken, good):
            notifier.on_event("failed", {"error": "once"})
        for _ in range(3):
            with pytest.raises(OSError, match="address number 1"):
                broken.tick(last=False)
            good.tick(last=False)
    assert len(receiver.all()) == 1


def test_a_ping_carries_its_name_and_password_in_a_header(receiver: Receiver) -> None:
    ping = Ping(f"http://me:p%40ss@{receiver.address}/ping")
    assert ping.url == f"http://{receiver.address}/ping"
    assert ping.authorization == {"Authorization": "Basic bWU6cEBzcw=="}
    ping.due = True
    assert ping.tick(last=False)
    assert receiver.all() == ["/ping"]


def test_the_day_is_told_with_the_newest_link(tmp_path: Path, receiver: Receiver) -> None:
    with world_of(tmp_path) as world, notified_poller(world, receiver, fills=False) as (poller, notifier):
        world.run(poller, range(44, 48))
        assert notifier.tick(last=False)
        newest = world.rows()["decisions"][-1]
        link = next(cell for cell in newest if isinstance(cell, str) and len(cell) == 64)
        assert receiver.all()[0].endswith(f"newest link of the chain {link}")
