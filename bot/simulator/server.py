"""An exchange on this machine: enough of Bitfinex's public REST for the unmodified client of ccxt."""

import json
import math
import os
import select
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Event, Lock, Thread, Timer
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from bot.clock import Clock
from bot.errors import UsageError
from bot.market import Candle
from bot.simulator import faults
from bot.simulator.faults import OUTAGE, Fault, Reply
from bot.simulator.market import TIMEFRAMES, Market, conf

CONTROL: Final = "/_faults"
_MOST_ROWS: Final = 10_000
_USUAL_ROWS: Final = 100
_MOST_ARRIVALS: Final = 10_000
_POLL: Final = 0.02
_TRICKLE: Final = 0.05


class LoopbackExchange:
    """Serves candles as Bitfinex would at the time of `clock`: those that have opened, the last one still forming.

    A context manager. `fault` and `candles` may be changed at any time, from any thread; `POST /_faults?name=NAME`
    with `on=all` and `seconds=N` sets the fault too (no name: none, `seconds` to end it by itself). `market_faults` are
    those of single markets, by the exchange's own names (BTCUSD), and beat `fault`; `market=NAME` sets one over HTTP.
    `requests` counts by path; `arrivals` are when each came, on the machine's monotonic clock. Raises OSError where the
    port is taken.
    """

    def __init__(
        self,
        candles: Sequence[Candle],
        clock: Clock,
        fault: Fault | None = None,
        *,
        bar: int = 3600,
        port: int = 0,
        others: Mapping[str, Sequence[Candle]] | None = None,
    ) -> None:
        """`others` are the candles of further symbols, beside BTC/USD."""
        self.requests: Counter[str] = Counter()
        self.arrivals: deque[tuple[float, str]] = deque(maxlen=_MOST_ARRIVALS)
        self.delay = 0.0  # seconds that each answer takes
        self.clock = clock
        self.market = Market(candles, bar)
        self.others = [Market(rows, bar, symbol) for symbol, rows in (others or {}).items()]
        self.market_faults: dict[str, Fault] = {}
        self.closing = Event()
        self.served: dict[str, int] = {}
        self._fault: Fault | None = None
        self._lock = Lock()
        self._server = _Server(self, port)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._loop = self._listen()
        self.fault = fault

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def candles(self) -> list[Candle]:
        """What is served, in order of time."""
        return self.market.candles

    @candles.setter
    def candles(self, candles: Sequence[Candle]) -> None:
        self.market = Market(candles, self.market.bar)

    @property
    def fault(self) -> Fault | None:
        """What is wrong now."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        if fault and fault.name not in faults.FAULTS:
            raise UsageError(f"there is no fault {fault.name!r}; the faults are {', '.join(sorted(faults.FAULTS))}")
        with self._lock:
            was, self._fault = self._fault, fault
            if fault == OUTAGE != was:
                self._refuse()
                self._server.hold()
            elif was == OUTAGE != fault:
                self._server.server_activate()
                self._loop = self._listen()

    def mend(self, fault: Fault | None) -> None:
        """End `fault`, unless another one has taken its place."""
        if self._fault == fault:
            self.fault = None

    def close(self) -> None:
        """End every connection and give the port back."""
        self.closing.set()
        self._refuse()

    def _listen(self) -> Thread:
        loop = Thread(target=self._server.serve_forever, args=(_POLL,), daemon=True)
        loop.start()
        return loop

    def _refuse(self) -> None:
        """Stop listening and end the connections there are."""
        if self._loop.is_alive():
            self._server.shutdown()
            self._loop.join()
        self._server.hang_up()
        self._server.server_close()

    def reply(self, target: str, fault: Fault | None) -> Reply:
        """The answer to a GET of `target`, a path with its query."""
        parts = urlsplit(target)
        path = unquote(parts.path)
        name = fault.name if fault and (fault.on == "all" or "/candles/" in path) else ""
        status, data = self._data(path, {key: values[-1] for key, values in parse_qs(parts.query).items()}, name)
        reply = Reply(status, json.dumps(data).encode())
        return faults.spoil_reply(name, reply, target, self.clock.now()) if name else reply

    def _data(self, path: str, query: dict[str, str], fault: str) -> tuple[int, Any]:
        now, markets = self.clock.now(), [self.market, *self.others]
        match path.removeprefix("/v2/").split("/"):
            case ["conf", labels]:
                data = conf(markets, labels)
            case ["platform", "status"]:
                data = [0 if fault == "maintenance" else 1]
            case ["ticker", symbol] if (market := _named(markets, symbol)) and (ticker := market.ticker(now)):
                data = ticker
            case ["candles", key, "hist" | "last" as section] if market := self._of_key(key, markets):
                return 200, self._candles(market, now, section, query, fault)
            case ["candles" | "ticker", *_]:
                return 500, ["error", 10020, "symbol: invalid"]
            case _:
                return 404, {"message": "Not Found"}
        return 200, faults.spoil_data(fault, data)

    def _of_key(self, key: str, markets: Sequence[Market]) -> Market | None:
        trade, _, rest = key.partition(":")
        timeframe, _, symbol = rest.partition(":")
        return _named(markets, symbol) if (trade, timeframe) == ("trade", TIMEFRAMES.get(self.market.bar)) else None

    def fault_on(self, path: str) -> Fault | None:
        """What is wrong with the answers at a path."""
        ending = path.split("/hist", maxsplit=1)[0].rsplit("/", 1)[-1].rsplit(":t", 1)[-1].removeprefix("t")
        return self.market_faults.get(ending, self.fault)

    def _candles(self, market: Market, now: float, section: str, query: dict[str, str], fault: str) -> Any:
        start, end = (float(query.get(name, default)) / 1000 for name, default in (("start", 0), ("end", math.inf)))
        limit = min(int(query.get("limit", _USUAL_ROWS)), _MOST_ROWS) if section == "hist" else 1
        shown = market.shown(now, start, end)
        ascending = query.get("sort") == "1"
        shown = shown._replace(rows=shown.rows[:limit] if ascending else shown.rows[-limit:])
        if fault != "revision":
            served = [row[0] for row in shown.rows if row[0] < shown.opened]
            self.served[market.pair] = max([self.served.get(market.pair, 0), *served])
        rows = faults.spoil_rows(fault, shown, self.served.get(market.pair, 0))
        if not ascending:
            rows.reverse()
        return rows if section == "hist" else rows[-1] if rows else []


def _named(markets: Sequence[Market], symbol: str) -> Market | None:
    """The market that Bitfinex calls `symbol`, for example tBTCUSD."""
    return next((market for market in markets if symbol == f"t{market.pair}"), None)


class _Server(ThreadingHTTPServer):
    """Knows its exchange and its connections, so that they can be ended."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, exchange: LoopbackExchange, port: int) -> None:
        self.exchange = exchange
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """As a TCP server binds; an HTTP server would look its own name up, which can take seconds."""
        TCPServer.server_bind(self)

    def hold(self) -> None:
        """Keep the port without listening on it, so that connections are refused, after `server_close`."""
        self.socket = socket.socket(self.address_family, self.socket_type)
        self.server_bind()

    def hang_up(self) -> None:
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the standard library
        """Requests are counted, not printed."""

    def do_GET(self) -> None:
        exchange = self.server.exchange
        path = unquote(urlsplit(self.path).path)
        fault = exchange.fault_on(path)
        exchange.requests[path] += 1
        exchange.arrivals.append((time.monotonic(), path))
        if exchange.delay:
            exchange.closing.wait(exchange.delay)
        self._send(exchange.reply(self.path, fault), faults.date_error(fault))

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        if parts.path != CONTROL:
            self._send(Reply(404, b'{"message": "Not Found"}'))
            return
        try:
            fault = faults.read_fault(f"{query['name']}@{query.get('on', '')}") if query.get("name") else None
            seconds = float(query.get("seconds", 0))
            if fault == OUTAGE and not seconds > 0:
                raise UsageError("an exchange that refuses connections cannot be told to stop: give seconds as well")
        except (UsageError, ValueError) as error:
            self._send(Reply(400, json.dumps({"message": str(error)}).encode()))
            return
        if query.get("market"):
            exchange = self.server.exchange
            if fault is None:
                exchange.market_faults.pop(query["market"], None)
            else:
                exchange.market_faults[query["market"]] = fault
            self._send(Reply(200, json.dumps({"fault": fault, "market": query["market"]}).encode()))
            return
        done = Reply(200, json.dumps({"fault": fault}).encode())
        if fault == OUTAGE:  # which ends this connection, too
            self._send(done)
            self.server.exchange.fault = fault
        else:
            self.server.exchange.fault = fault
            self._send(done)
        if seconds > 0:
            end = Timer(seconds, self.server.exchange.mend, (fault,))
            end.daemon = True
            end.start()

    def _send(self, reply: Reply, date_error: float = 0.0) -> None:
        length = len(reply.body) + (1000 if reply.ending == "incomplete" else 0)
        head = [
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
            f"Content-Type: {reply.content_type}",
            f"Content-Length: {length}",
            *(f"{name}: {value}" for name, value in reply.headers),
        ]
        if not math.isnan(date_error):
            head.append(f"Date: {formatdate(self.server.exchange.clock.now() + date_error, usegmt=True)}")
        top = "\r\n".join([*head, "", ""]).encode()
        match reply.ending:
            case "whole":
                self.wfile.write(top + reply.body)
                return
            case "incomplete":
                self.wfile.write(top + reply.body)
            case "hang":
                self._trickle(b"")
            case "trickle_headers":
                self._trickle(top + reply.body)
            case "trickle":
                self.wfile.write(top)
                self._trickle(reply.body)
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())  # closed without a farewell, which sends RST
        self.close_connection = True

    def _trickle(self, text: bytes) -> None:
        """Send a byte now and then, and nothing after the last one, until the other side has enough."""
        for at in range(10**9):
            gone, _, _ = select.select([self.connection], [], [], _TRICKLE)
            if gone or self.server.exchange.closing.is_set():
                return
            self.wfile.write(text[at : at + 1])
