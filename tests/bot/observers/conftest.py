"""A receiver of notifications and pings, and observers that are called in the daemon's own thread."""

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bot.observers import Observers
from tests.harness import model_of

WAIT = 20.0
TRADES = model_of(11)  # at most bars


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
        """What it was sent since it was last asked."""
        return [self.got.get() for _ in range(self.got.qsize())]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that answers."""
    made = Receiver()
    yield made
    made.answers.set()
    made.server.shutdown()
    made.server.server_close()


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
