"""The stream tells of every commit, by whichever process, and continues where a connection was lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.ledger import add_event, open_writer
from bot.web import watch as watching
from bot.web.source import NotReadyError, Source
from bot.web.watch import Watch
from tests.ledgers import append_bar, two_models

Heard = tuple[str, str, dict[str, object]]


def parsed(text: bytes) -> Heard:
    """Id, kind and data of a server-sent event."""
    fields = dict(line.split(": ", 1) for line in text.decode().strip().splitlines())
    return fields.get("id", ""), fields.get("event", ""), json.loads(fields.get("data", "{}"))


async def until(stream: AsyncIterator[bytes], kind: str) -> list[Heard]:
    """What is heard up to the first message of that kind."""
    heard = []
    async for text in stream:
        heard.append(parsed(text))
        if heard[-1][1] == kind:
            return heard
    raise AssertionError(f"the stream ended without {kind}")


@pytest.fixture
def file(tmp_path: Path, ledger_file: Path) -> Path:
    """A ledger of one's own."""
    copy = tmp_path / "ledger.sqlite"
    copy.write_bytes(ledger_file.read_bytes())
    return copy


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.02)


async def with_watch(source: Source) -> tuple[Watch, "asyncio.Task[None]"]:
    watch = Watch(source)
    watch._look()  # the first look only sees what is there
    return watch, asyncio.create_task(watch.run())


def test_bars_and_events_are_told(file: Path) -> None:
    async def scenario() -> None:
        source = Source(f"sqlite:///{file}")
        watch, task = await with_watch(source)
        stream = watch.listen("", lambda: False)
        await until(stream, "heartbeat")
        bar_time = await asyncio.to_thread(append_bar, file, two_models()[1])
        heard = await asyncio.wait_for(until(stream, "bar"), 10)
        assert heard[-1][2]["account"] == "main"
        assert heard[-1][2]["bar_time"] == bar_time
        ledger = open_writer(f"sqlite:///{file}")
        with ledger.writing() as connection:
            add_event(connection, 5.0, "model_swapped", {"account": "main"})
            add_event(connection, 6.0, "gap", {"bars": 3})
        ledger.close()
        heard = await asyncio.wait_for(until(stream, "event"), 10)
        assert [kind for _, kind, _ in heard] == ["swap", "event"]
        assert heard[1][2]["detail"] == {"bars": 3}
        task.cancel()
        source.close()

    asyncio.run(scenario())


def test_a_lost_connection_misses_nothing(file: Path) -> None:
    async def scenario() -> None:
        source = Source(f"sqlite:///{file}")
        watch, task = await with_watch(source)
        (last_id, _, _) = (await until(watch.listen("", lambda: False), "heartbeat"))[-1]
        times = [await asyncio.to_thread(append_bar, file, two_models()[1]) for _ in range(3)]
        listener = watch.listen(last_id, lambda: False)
        for _ in range(3):
            await asyncio.wait_for(until(listener, "bar"), 10)
        heard = await until(watch.listen(last_id, lambda: False), "heartbeat")
        assert [data["bar_time"] for _, kind, data in heard if kind == "bar"] == times
        later = await until(watch.listen(heard[1][0], lambda: False), "heartbeat")
        assert [data["bar_time"] for _, kind, data in later if kind == "bar"] == times[1:]
        for unknown in ("0000-1", "nonsense", f"{watch.boot}-999999"):
            heard = await until(watch.listen(unknown, lambda: False), "heartbeat")
            assert [kind for _, kind, _ in heard if kind] == ["reset", "heartbeat"]
        task.cancel()
        source.close()

    asyncio.run(scenario())


def test_a_ledger_that_goes_and_comes_is_told_of(file: Path) -> None:
    async def scenario() -> None:
        source = Source(f"sqlite:///{file}")
        away = file.with_name("away.sqlite")
        await asyncio.to_thread(file.rename, away)
        watch = Watch(source)
        task = asyncio.create_task(watch.run())
        stream = watch.listen("", lambda: False)
        heard = await asyncio.wait_for(until(stream, "waiting"), 10)
        assert "there is no ledger" in str(heard[-1][2]["detail"])
        with pytest.raises(NotReadyError), source.reading():
            pass
        await asyncio.to_thread(away.rename, file)
        await asyncio.wait_for(until(stream, "ready"), 10)
        task.cancel()
        source.close()

    asyncio.run(scenario())


def test_who_does_not_listen_is_let_go(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_MOST_BEHIND", 2)

    async def scenario() -> None:
        watch = Watch(Source(f"sqlite:///{file}"))
        stream = watch.listen("", lambda: False)
        await until(stream, "heartbeat")
        for number in range(5):
            watch._tell("bar", {"bar_time": number})
        assert [kind async for kind in stream]
        assert not watch._listeners

    asyncio.run(scenario())


def test_a_server_that_stops_ends_its_streams(file: Path) -> None:
    async def scenario() -> None:
        watch = Watch(Source(f"sqlite:///{file}"))
        stopping = False
        stream = watch.listen("", lambda: stopping)
        await until(stream, "heartbeat")
        stopping = True
        assert [text async for text in stream] == []

    asyncio.run(scenario())
