"""Notifications, sent to real receivers on this machine: what they say, when, and where they are not taken."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from bot.errors import UsageError
from bot.ledger import tables
from bot.observers.notifications import Notifier
from bot.observers.setup import make_observers
from bot.service import Poller
from bot.simulator.generate import START
from tests.bot.observers.conftest import TRADES, Receiver, Straight
from tests.harness import HOUR, World, world_of

# Apprise imports a module that Python 3.11 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

VALUE = [column.name for column in tables.decisions.columns].index("value")


@contextmanager
def notified_poller(world: World, receiver: Receiver, **notify: Any) -> Iterator[tuple[Poller, Notifier]]:
    """A poller whose bars a notifier is told of at once, in this thread; the test calls `tick`."""
    notify = {"urls": f"json://{receiver.address}/key", "every_seconds": 0} | notify
    with world.poller(TRADES) as poller:
        notifier = Notifier(world.settings(notify=notify), world.dial.clock)
        poller.observers = Straight(notifier)
        poller.observers.on_accounts(poller.account_states)
        yield poller, notifier


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


def test_the_day_is_told_with_the_newest_link(tmp_path: Path, receiver: Receiver) -> None:
    with world_of(tmp_path) as world, notified_poller(world, receiver, fills=False) as (poller, notifier):
        world.run(poller, range(44, 48))
        assert notifier.tick(last=False)
        newest = world.rows()["decisions"][-1]
        link = next(cell for cell in newest if isinstance(cell, str) and len(cell) == 64)
        assert receiver.all()[0].endswith(f"newest link of the chain {link}")
