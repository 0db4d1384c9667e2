"""The application: routes, doors, and one sentence for whatever cannot be answered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from bot import __version__
from bot.clock import Clock
from bot.errors import HourhandError
from bot.redact import redact
from bot.settings import Settings
from bot.web.access import Token
from bot.web.actions import action_routes
from bot.web.api import read_routes
from bot.web.doors import Doors
from bot.web.figures import Figures
from bot.web.page import page_routes
from bot.web.reference import reference_page
from bot.web.source import NotReadyError, Source
from bot.web.watch import Watch

_ABOUT = (
    "The content of the ledger, read beside the daemon. Times are Unix seconds, `bar_time` is the open time of a bar, "
    "and `time` is the same as text in UTC. Reading needs no token; changes need `Authorization: Bearer TOKEN`."
)
log = structlog.get_logger()


def create_app(settings: Settings, clock: Clock, stopping: Callable[[], bool] = lambda: False) -> Doors:
    """The application over the settings' ledger. Streams end when `stopping()`."""
    source = Source(settings.ledger.url)
    figures, watch = Figures(settings, clock, source), Watch(source)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        looking = asyncio.create_task(watch.run())
        yield
        looking.cancel()
        source.close()

    app = FastAPI(
        title="hourhand", version=__version__, openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.include_router(read_routes(figures, watch, stopping))
    app.include_router(action_routes(figures, Token(settings.serve.token)))
    app.include_router(page_routes(figures))
    _add_reference(app)
    _add_failures(app)
    return Doors(app, settings.serve)


def _add_reference(app: FastAPI) -> None:
    schema = get_openapi(title="hourhand", version=__version__, description=_ABOUT, routes=app.routes)

    @app.get("/api/v1/openapi.json", include_in_schema=False)
    def openapi() -> JSONResponse:
        return JSONResponse(schema)

    @app.get("/api/v1/docs", include_in_schema=False)
    @app.get("/api/v1", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(reference_page(schema))


def _add_failures(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def wrong_parameter(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        problem = str(first["msg"]).removeprefix("Input ").removeprefix("String ")
        return JSONResponse({"detail": redact(f"{first['loc'][-1]}: {problem[:1].lower()}{problem[1:]}")}, 422)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        sentence = "there is nothing at this address" if error.detail == "Not Found" else error.detail
        return JSONResponse({"detail": sentence}, error.status_code, headers=error.headers)

    @app.exception_handler(NotReadyError)
    async def not_ready(_: Request, error: NotReadyError) -> Response:
        return JSONResponse({"detail": redact(str(error))}, 503, headers={"Retry-After": "5"})

    @app.exception_handler(HourhandError)
    async def cannot(_: Request, error: HourhandError) -> Response:
        return JSONResponse({"detail": redact(str(error))}, 409)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("request_failed", path=request.url.path, error=redact(repr(error)))
        return JSONResponse({"detail": "an unexpected failure: the log of `hourhand serve` says more"}, 500)
