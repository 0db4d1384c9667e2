"""What every request has to pass, and what every answer carries."""

import ipaddress
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.settings import ServeSettings

_MOST_BODY: Final = 65_536
_MOST_QUERY: Final = 4_096
_HEADERS: Final = {
    # Styles may be inline: the charts of the report are. Scripts are the page's own files alone.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Doors:
    """ASGI middleware: refuses hosts that are not this server's, which a page elsewhere could have made point here."""

    def __init__(self, app: ASGIApp, serve: ServeSettings) -> None:
        self.app = app
        self.hosts = frozenset(_known_hosts(serve))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        problem = self._problem(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if problem is not None:
            status, sentence = problem
            await JSONResponse({"detail": sentence}, status)(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def _problem(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        local = str((scope.get("server") or ("", 0))[0])
        hosts = headers.getlist("host")
        if len(hosts) != 1 or host_name(hosts[0]) not in self.hosts | {local.lower()}:
            return 421, "this server is not called that: add the name to serve.hosts"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > _MOST_BODY or "transfer-encoding" in headers:
            return 413, "the request is too large: nothing here takes a body"
        if len(scope.get("query_string", b"")) > _MOST_QUERY:
            return 414, "the address is too long"
        return None


def host_name(host: str) -> str:
    """The name in a Host header, without its port, in small letters."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if ":" in name else name


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach the address."""
    if address.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _known_hosts(serve: ServeSettings) -> Iterable[str]:
    yield from ("localhost", "127.0.0.1", "::1")
    yield serve.address.lower()
    yield from serve.hosts.lower().split()
