"""`/api/v1`: what can be read. Every parameter is bounded; nothing here writes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bot.clock import utc
from bot.errors import ModelError, UsageError
from bot.ledger import pages, read_all_terms, read_terms
from bot.report import FullSeries, thin, trades
from bot.web import schemas
from bot.web.figures import Figures
from bot.web.watch import Watch

LATEST: Final = 99_999_999_999
_WRONG: Final[dict[int | str, dict[str, Any]]] = {
    422: {"model": schemas.Problem, "description": "A parameter is out of its bounds."},
    503: {"model": schemas.Problem, "description": "The ledger cannot be read now."},
}
_NONE: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": schemas.Problem, "description": "There is no such account."}
}

Name = Annotated[str, Path(max_length=200, description="An account's name.")]
From = Annotated[int, Query(alias="from", ge=0, le=LATEST, description="Start time, Unix seconds, inclusive.")]
To = Annotated[int, Query(alias="to", ge=0, le=LATEST, description="End time, Unix seconds, exclusive.")]
Limit = Annotated[int, Query(ge=1, le=5_000, description="Maximum number of rows.")]
Cursor = Annotated[int | None, Query(ge=0, le=LATEST, description="`next` of the previous page.")]
Order = Annotated[str, Query(pattern="^(asc|desc)$", description="asc: oldest first; desc: newest first.")]
Accounts = Annotated[
    str, Query(max_length=2_000, description="Accounts, separated by commas; default: all on the main market.")
]
Points = Annotated[int, Query(ge=20, le=5_000, description="Maximum number of points.")]


async def _asked(
    first: From = 0, end: To = LATEST, limit: Limit = 500, cursor: Cursor = None, order: Order = "asc"
) -> pages.Span:
    return pages.Span(first, end, limit, cursor, order == "desc")


Asked = Annotated[pages.Span, Depends(_asked)]
"""Which rows of a table, from the query."""


def encoded(value: object) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), media_type="application/json")


def chosen(accounts: str) -> list[str]:
    """The names in a list separated by commas."""
    return [name for name in accounts.split(",") if name]


@contextmanager
def refused_with(status: int) -> Iterator[None]:
    """Raises HTTPException of that status for what in the block names something that is not there or cannot be done."""
    try:
        yield
    except (ModelError, UsageError) as error:
        raise HTTPException(status, str(error)) from error


def series_of(figures: Figures, name: str) -> FullSeries:
    """The account's bars. Raises HTTPException, 404, where it has none."""
    with refused_with(404):
        return figures.source.series(name)


def read_routes(figures: Figures, watch: Watch, stopping: Callable[[], bool]) -> APIRouter:
    """The routes that read."""
    router = APIRouter(prefix="/api/v1", responses=_WRONG)
    _account_routes(router, figures)
    _ledger_routes(router, figures)
    _summary_routes(router, figures)

    @router.get("/stream", summary="Server-sent events: bars, swaps, events")
    async def stream(request: Request) -> StreamingResponse:
        """`bar` has `account`, `bar_time` and `time`; `swap` and `event` a row of the events; `waiting` says why the
        ledger cannot be read now, and `ready` that it can again; `heartbeat` comes every ten seconds. After a lost
        connection `Last-Event-ID` continues where it was; `reset` says that too much was missed for that.
        """
        if watch.is_full():
            raise HTTPException(503, "too many listen already")
        last_id = request.headers.get("last-event-id", "")
        return StreamingResponse(watch.listen(last_id, stopping), media_type="text/event-stream")

    return router


def _account_routes(router: APIRouter, figures: Figures) -> None:
    source = figures.source

    @router.get("/accounts", response_model=list[schemas.Account], summary="Every account now")
    def accounts() -> Response:
        return encoded(figures.accounts())

    @router.get(
        "/accounts/{name:path}/decisions", response_model=schemas.Decisions, responses=_NONE, summary="What was decided"
    )
    def decisions(name: Name, span: Asked) -> Response:
        with source.reading() as connection:
            if read_terms(connection, name) is None:
                raise HTTPException(404, f"there is no account {name!r}")
            rows = pages.page_of_decisions(connection, name, span)
        return encoded(_page("decisions", [_timed(row) for row in rows], "bar_time", span.limit))

    @router.get("/accounts/{name:path}/fills", response_model=schemas.Fills, responses=_NONE, summary="What was traded")
    def fills(name: Name, span: Asked) -> Response:
        rows = fill_rows(series_of(figures, name), span)
        return encoded(_page("fills", rows, "bar_time", span.limit))

    @router.get(
        "/accounts/{name:path}/equity",
        response_model=schemas.Equity,
        responses=_NONE,
        summary="Value, holding, constant mix, drawdown and exposure",
    )
    def equity(name: Name, points: Points = 1_000, first: From = 0, end: To = LATEST) -> Response:
        series = thin(full := series_of(figures, name), points, first, end)
        columns = (
            series.bar_times,
            series.values,
            series.holds,
            series.mixed,
            series.drawdown,
            series.hold_drawdown,
            series.exposure,
        )
        names = ("value", "hold_value", "constant_mix", "drawdown", "hold_drawdown", "exposure")
        rows = [
            {"bar_time": time, "time": utc(time), **dict(zip(names, values, strict=True))}
            for time, *values in zip(*(column.tolist() for column in columns), strict=True)
        ]
        times = full.history.bar_times
        bars = int(((times >= first) & (times < end)).sum())
        return encoded({"account": name, "bars": bars, "equity": rows})


def _ledger_routes(router: APIRouter, figures: Figures) -> None:
    source = figures.source

    @router.get("/candles", response_model=schemas.Candles, responses=_NONE, summary="The stored candles")
    def candles(
        span: Asked,
        market: Annotated[str, Query(max_length=200, description="An account's `market`; default: the first.")] = "",
    ) -> Response:
        with source.reading() as connection:
            known = [terms.market for terms in read_all_terms(connection)]
            if market and market not in known:
                raise HTTPException(404, f"there is no market {market!r}")
            main = read_terms(connection, figures.settings.account.name)
            wanted = market or (main.market if main else (known or [figures.settings.market])[0])
            rows = pages.page_of_candles(connection, wanted, span)
        timed = [_timed(row) | {"synthetic": bool(row["synthetic"])} for row in rows]
        return encoded(_page("candles", timed, "bar_time", span.limit))

    @router.get("/events", response_model=schemas.Events, summary="What happened")
    def events(
        span: Asked,
        kind: Annotated[str | None, Query(max_length=100, description="Only events of this kind.")] = None,
    ) -> Response:
        with source.reading() as connection:
            rows = pages.page_of_events(connection, kind, span)
        return encoded(_page("events", [row | {"time": utc(row["at"])} for row in rows], "id", span.limit))


def _summary_routes(router: APIRouter, figures: Figures) -> None:
    @router.get("/models", response_model=schemas.Models, summary="The registry")
    def models() -> Response:
        return encoded(figures.models())

    @router.get("/compare", response_model=schemas.Comparison, responses=_NONE, summary="Accounts side by side")
    def compare(accounts: Accounts = "") -> Response:
        with refused_with(404):
            return encoded(figures.compare(chosen(accounts)))

    @router.get("/report", response_class=HTMLResponse, responses=_NONE, summary="The page of `hourhand report`")
    def report(accounts: Accounts = "") -> HTMLResponse:
        with refused_with(404):
            return HTMLResponse(figures.report(chosen(accounts)))


def fill_rows(full: FullSeries, span: pages.Span) -> list[dict[str, Any]]:
    """The account's trades in a span, with what each moved and made."""
    rows = trades(full.history.record, full.history.traded)
    rows = [row for row in rows if span.first <= row.bar_time < span.end]
    if span.newest_first:
        rows.reverse()
    if span.cursor is not None:
        sign = -1 if span.newest_first else 1
        rows = [row for row in rows if sign * row.bar_time > sign * span.cursor]
    return [
        {"account": full.history.terms.name, "time": utc(row.bar_time), **row._asdict()} for row in rows[: span.limit]
    ]


def _page(name: str, rows: list[dict[str, Any]], key: str, limit: int) -> dict[str, Any]:
    return {name: rows, "next": str(rows[-1][key]) if len(rows) == limit else None}


def _timed(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"time": utc(row["bar_time"])}
