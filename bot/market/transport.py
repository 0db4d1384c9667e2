"""The HTTP session beneath the exchange's client: a deadline for the whole request, a cap on its size, and a way to
end it from outside."""

import io
import socket
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Final, NamedTuple
from weakref import WeakSet

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

MOST_BYTES: Final = 32 * 2**20
LONGEST_SECONDS: Final = 1_000_000.0
_SHORTEST_SECONDS: Final = 0.001
_CHUNK: Final = 2**16


class TooLargeError(requests.RequestException):
    """The answer's body, decoded, is larger than anything that was asked for."""


class CutError(requests.RequestException):
    """The request was ended by `Session.cut`."""


class Answer(NamedTuple):
    """What is known of the last answer besides its body; `sent` and `received` (its headers) are on the clock that
    the session was given.
    """

    status: int
    reason: str
    headers: CaseInsensitiveDict[str]
    sent: float
    received: float

    @property
    def date(self) -> float | None:
        """The exchange's time, to the second below, from the header `Date`; None where there is none to be read."""
        return http_date(self.headers.get("Date", ""))


def http_date(text: str) -> float | None:
    """Unix seconds of a date as HTTP writes it, None where it is not one."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


class Session(requests.Session):
    """A session for one request at a time that is abandoned as a whole, whatever it hangs on.

    The request runs in a thread of its own, as nothing else ends a look-up of a name or a server that sends a byte
    now and then. Redirects are not followed and the environment's proxies and credentials are not used.
    """

    def __init__(self, timeout_seconds: float, now: Callable[[], float]) -> None:
        super().__init__()
        self.trust_env = False
        self.answer: Answer | None = None
        self.first_asked: float | None = None
        self._seconds = min(max(timeout_seconds, 0.0), LONGEST_SECONDS)
        self._now = now
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._outcome: SimpleQueue[requests.Response | Exception] | None = None
        self._cut = Event()
        adapter = _Adapter(self._sockets)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """As `requests.Session.request`, but `timeout` is the session's, for everything from look-up to last byte.

        Raises `requests.Timeout`, TooLargeError, CutError and what requests raises.
        """
        self.answer = None
        if self.first_asked is None:
            self.first_asked = time.monotonic()
        outcome: SimpleQueue[requests.Response | Exception] = SimpleQueue()
        self._outcome = outcome
        if self._cut.is_set():
            outcome.put(CutError("the request was ended"))
        else:
            kwargs |= {"timeout": max(self._seconds, _SHORTEST_SECONDS), "stream": True, "allow_redirects": False}
            Thread(target=self._work, args=(outcome, method, url, args, kwargs), daemon=True).start()
        try:
            result = outcome.get(timeout=self._seconds)
        except Empty:
            self._hang_up()
            raise requests.Timeout(f"no whole answer within {self._seconds:g} s") from None
        finally:
            self._outcome = None
        if isinstance(result, CutError):
            self._cut.clear()
            self._hang_up()
        if isinstance(result, Exception):
            raise result
        return result

    def cut(self) -> None:
        """From any thread: the request in flight, or else the next one, fails at once with CutError."""
        self._cut.set()
        if outcome := self._outcome:
            outcome.put(CutError("the request was ended"))

    def wait(self, seconds: float) -> None:
        """Wait `seconds`, or until `cut`."""
        self._cut.wait(seconds)

    def _work(
        self,
        outcome: SimpleQueue[requests.Response | Exception],
        method: str,
        url: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        sent = self._now()
        try:
            with super().request(method, url, *args, **kwargs) as live:
                answer = Answer(live.status_code, live.reason or "", live.headers, sent, self._now())
                if outcome is self._outcome:
                    self.answer = answer
                outcome.put(_read(live))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised again where the answer is waited for
            outcome.put(error)

    def _hang_up(self) -> None:
        """Shut every live socket down, which ends the thread that waits on it."""
        for live in list(self._sockets):
            try:
                socket.socket.shutdown(live, socket.SHUT_RDWR)
            except OSError:
                continue


def _read(live: requests.Response) -> requests.Response:
    """The answer with its body read to the end, decoded, and no more of it than MOST_BYTES."""
    body = io.BytesIO()
    for chunk in live.iter_content(_CHUNK):
        body.write(chunk)
        if body.tell() > MOST_BYTES:
            raise TooLargeError(f"the answer is larger than {MOST_BYTES // 2**20} MiB")
    body.seek(0)
    whole = requests.Response()
    whole.status_code, whole.reason, whole.url = live.status_code, live.reason, live.url
    whole.headers, whole.request, whole.raw = live.headers, live.request, body
    return whole


class _Adapter(HTTPAdapter):
    """An adapter whose connections enter their sockets into a set."""

    def __init__(self, sockets: WeakSet[socket.socket]) -> None:
        self._sockets = sockets
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:  # noqa: FBT001, FBT002 - requests calls it with these
        sockets = self._sockets

        class Http(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                sockets.add(self.sock)

        class Https(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                sockets.add(self.sock)

        class HttpPool(HTTPConnectionPool):
            ConnectionCls = Http

        class HttpsPool(HTTPSConnectionPool):
            ConnectionCls = Https

        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
