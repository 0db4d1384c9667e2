"""The feed against servers of no manners: bytes by hand, as no HTTP library would send them."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bot.clock import Clock
from bot.errors import ExchangeError
from bot.market import Feed
from bot.settings import ExchangeSettings
from bot.simulator.generate import START

CLOCK = Clock(start=START + 3600.0, source=lambda: 0.0, simulated=True)


@contextmanager
def raw(reply: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that hands each connection to `reply`, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(60)
                    if not over.is_set() and connection.recv(65536):
                        try:
                            reply(connection)
                        except OSError:
                            continue

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            over.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join(timeout=60)


def endless(start: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    def reply(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)

    return reply


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
RUDE = {
    "never a blank line": endless(OK, b"X-More: yes\r\n"),
    "one endless header": endless(OK + b"X-More: ", b"y"),
    "a body without an end": endless(OK + b"\r\n[", b" " * 65536),
    "endless chunks": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "not HTTP": lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "half a status": lambda connection: connection.sendall(b"HTTP/1.1 2"),
    "a bad length": lambda connection: connection.sendall(OK + b"Content-Length: many\r\n\r\n[]"),
    "not gzip": lambda connection: connection.sendall(OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n[]"),
    "a strange date": lambda connection: connection.sendall(OK + b"Date: tomorrow\r\nContent-Length: 2\r\n\r\n[]"),
    "bytes that are not text": lambda connection: connection.sendall(OK + b"Content-Length: 2\r\n\r\n\xff\xfe"),
    "a tower of brackets": lambda connection: connection.sendall(OK + b"Content-Length: 99999\r\n\r\n" + b"[" * 99999),
}


@pytest.mark.parametrize("name", RUDE)
def test_no_server_holds_the_feed_or_breaks_it(name: str) -> None:
    with raw(RUDE[name]) as url:
        feed = Feed(ExchangeSettings(base_url=url, timeout_seconds=0.5), CLOCK)
        with pytest.raises(ExchangeError, match=r"^bitfinex "):
            feed.closed_candles(START)
        assert feed.skew is None
