"""Pings, sent to a real receiver on this machine: one for each poll that decided a bar."""

from pathlib import Path

import pytest

from bot.observers.notifications import Ping
from tests.bot.observers.conftest import TRADES, Receiver, Straight
from tests.harness import world_of


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


def test_a_ping_carries_its_name_and_password_in_a_header(receiver: Receiver) -> None:
    ping = Ping(f"http://me:p%40ss@{receiver.address}/ping")
    assert ping.url == f"http://{receiver.address}/ping"
    assert ping.authorization == {"Authorization": "Basic bWU6cEBzcw=="}
    ping.due = True
    assert ping.tick(last=False)
    assert receiver.all() == ["/ping"]
