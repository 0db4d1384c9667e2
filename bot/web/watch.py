"""What is new in the ledger, told to everybody who listens: one look a second, however many there are."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from starlette.concurrency import run_in_threadpool

from bot.clock import utc
from bot.ledger import pages, read_all_terms
from bot.web.source import NotReadyError, Source

LOOK_SECONDS: Final = 1.0
HEARTBEAT_SECONDS: Final = 10.0
MOST_LISTENERS: Final = 200
_KEPT: Final = 5_000
_MOST_BEHIND: Final = 1_000  # messages that wait for a listener; one that is further behind has to connect again
_MOST_A_LOOK: Final = 500
_RETRY_MS: Final = 2_000
_HEARTBEAT: Final = b"event: heartbeat\ndata: {}\n\n"

log = structlog.get_logger()


class Message(NamedTuple):
    """A server-sent event."""

    number: int
    kind: str
    data: dict[str, Any]


class _Seen(NamedTuple):
    bars: dict[str, int]
    event: int


class Watch:
    """Looks into the ledger and keeps the last messages, so that a connection that was lost misses none.

    `kind` of a message is `bar` (`account`, `bar_time`, `time`), `swap` or `event` (a row of `events`), `waiting` (the
    ledger cannot be read now, `detail` says why), `ready` (it can again), or `reset` (more was missed than is kept).
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.boot = secrets.token_hex(4)  # ids of another process are not this one's
        self.problem: str | None = None
        self._seen: _Seen | None = None
        self._number = 0
        self._messages: deque[Message] = deque(maxlen=_KEPT)
        self._listeners: set[asyncio.Queue[Message]] = set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                for kind, data in await run_in_threadpool(self._look):
                    self._tell(kind, data)
            except NotReadyError as error:
                if self.problem != str(error):
                    self.problem = str(error)
                    log.warning("ledger_unavailable", error=self.problem)
                    self._tell("waiting", {"detail": self.problem})
            except Exception:
                log.exception("watch_failed")
            else:
                if self.problem is not None:
                    self.problem = None
                    log.info("ledger_recovered")
                    self._tell("ready", {})
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> list[tuple[str, dict[str, Any]]]:
        with self.source.reading() as connection:
            names = [terms.name for terms in read_all_terms(connection)]
            bars = {name: bar_time for name, (bar_time, _) in pages.newest_links(connection, names).items()}
            event = pages.newest_event(connection)
            seen, self._seen = self._seen, _Seen(bars, event)
            news: list[tuple[str, dict[str, Any]]] = []
            if seen is None:
                return news
            for name, bar_time in bars.items():
                if bar_time != seen.bars.get(name):
                    times = pages.bars_after(connection, name, seen.bars.get(name, bar_time - 1), _MOST_A_LOOK)
                    news += [("bar", {"account": name, "bar_time": t, "time": utc(t)}) for t in times or [bar_time]]
            if event > seen.event:
                span = pages.Span(float("-inf"), float("inf"), _MOST_A_LOOK, seen.event)
                for row in pages.page_of_events(connection, None, span):
                    kind = "swap" if row["kind"] == "model_swapped" else "event"
                    news.append((kind, row))
            return news

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        self._number += 1
        message = Message(self._number, kind, data)
        self._messages.append(message)
        for queue in list(self._listeners):
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:
                self._listeners.discard(queue)

    def is_full(self) -> bool:
        """Whether no more listeners are taken."""
        return len(self._listeners) >= MOST_LISTENERS

    async def listen(self, last_id: str, stopping: Callable[[], bool]) -> AsyncIterator[bytes]:
        """The stream as bytes. It begins after the message that `last_id` names, else now; ends when `stopping()`, or
        where the listener is too far behind.
        """
        queue: asyncio.Queue[Message] = asyncio.Queue(_MOST_BEHIND)
        self._listeners.add(queue)
        missed = [*self._missed(last_id), Message(self._number, "heartbeat", {})]
        try:
            yield f"retry: {_RETRY_MS}\n\n".encode()
            for message in missed:
                yield self._bytes(message)
            if self.problem is not None:
                yield self._bytes(Message(self._number, "waiting", {"detail": self.problem}))
            waited = 0.0
            while not stopping() and (queue in self._listeners or not queue.empty()):
                try:
                    yield self._bytes(await asyncio.wait_for(queue.get(), LOOK_SECONDS))
                    waited = 0.0
                except TimeoutError:
                    waited += LOOK_SECONDS
                    if waited >= HEARTBEAT_SECONDS:
                        waited = 0.0
                        yield _HEARTBEAT
        finally:
            self._listeners.discard(queue)

    def _missed(self, last_id: str) -> list[Message]:
        if not last_id:
            return []
        boot, _, text = last_id.partition("-")
        number = int(text) if text.isdecimal() and len(text) < 16 else -1
        oldest = self._messages[0].number if self._messages else self._number + 1
        if boot != self.boot or not oldest - 1 <= number <= self._number:
            seen = self._seen.bars if self._seen is not None else {}
            return [Message(self._number, "reset", {"bars": seen})]
        return [message for message in self._messages if message.number > number]

    def _bytes(self, message: Message) -> bytes:
        head = f"id: {self.boot}-{message.number}\nevent: {message.kind}\ndata: ".encode()
        return head + msgspec.json.encode(message.data) + b"\n\n"
