"""The server: uvicorn in this process, until SIGTERM or Ctrl-C."""

import signal
import socket

import structlog
import uvicorn

from bot.clock import Clock
from bot.errors import UsageError
from bot.ledger import parse_url
from bot.observers import notify
from bot.settings import ServeSettings, Settings
from bot.web.app import create_app
from bot.web.doors import is_loopback

_GRACE_SECONDS = 3

log = structlog.get_logger()


def check_address(serve: ServeSettings) -> None:
    """Raises UsageError for an address that others can reach where no token is set."""
    if not serve.token and not is_loopback(serve.address):
        raise UsageError(
            f"serve.address = {serve.address!r} can be reached from elsewhere: set HOURHAND_SERVE__TOKEN first, or use "
            "127.0.0.1"
        )


def serve(settings: Settings, clock: Clock) -> None:
    """Serve the page and the API until the process is asked to end.

    Raises UsageError if it cannot listen on the address or port, or if the address needs a token.
    """
    check_address(settings.serve)
    parse_url(settings.ledger.url)
    address, port = settings.serve.address, settings.serve.port
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server((address, port), family=found[0], backlog=128)
    except OSError as error:
        raise UsageError(f"serve: cannot listen on {address}, port {port}: {error.strerror or error}") from error
    config = uvicorn.Config(
        lambda: create_app(settings, clock, lambda: server.should_exit),
        factory=True,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        limit_concurrency=512,
        h11_max_incomplete_event_size=16_384,
    )
    server = uvicorn.Server(config)
    shown = f"[{address}]" if ":" in address else address
    log.info("serving", page=f"http://{shown}:{port}/", changes="token" if settings.serve.token else "off")
    notify("READY=1")
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again once it has ended
        signal.signal(number, lambda *_: None)
    with listening:
        server.run(sockets=[listening])
