"""`hourhand serve`."""

from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from typing import Final

import msgspec

from bot.console import add_config, read_settings
from bot.errors import UsageError
from bot.extras import missing_extra
from bot.log import add_log_options, set_up

_EXTRA: Final = ("fastapi", "uvicorn", "litecharts")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `serve`."""
    add_config(parser)
    parser.add_argument("--address", metavar="A", help="listen here (default: serve.address)")
    parser.add_argument("--port", type=int, metavar="N", help="on this port (default: serve.port)")
    add_log_options(parser)
    parser.epilog = (
        "A page to leave open, and an API for scripts. It only reads the ledger, so starting and stopping it does not\n"
        "affect the daemon. Promote, roll back, pause and resume need the token in HOURHAND_SERVE__TOKEN.\n\n"
        "example: hourhand serve          then open http://127.0.0.1:8420/; the API is at /api/v1/docs"
    )


def call(parsed_args: Namespace) -> int:
    """Serve until stopped."""
    settings, clock = read_settings(parsed_args)
    given = {name: getattr(parsed_args, name) for name in ("address", "port") if getattr(parsed_args, name) is not None}
    if not 1 <= given.get("port", 1) <= 65_535:
        raise UsageError(f"serve: --port {given['port']}: choose 1 to 65535")
    set_up(clock.now, level=parsed_args.log_level, file=parsed_args.log_file)
    require_web()
    from bot.web import serve  # noqa: PLC0415 - the extra `web`

    serve(msgspec.structs.replace(settings, serve=msgspec.structs.replace(settings.serve, **given)), clock)
    return 0


def require_web() -> None:
    """Raises UsageError where the extra `web` is not installed."""
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        raise missing_extra("hourhand serve", "web")
