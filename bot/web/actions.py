"""`/api/v1`: what changes something, for whoever shows the token. As the commands do: files beside the ledger."""

from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Depends
from fastapi import Path as PathParameter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bot.model import registry
from bot.service import ask_to_pause, ask_to_resume, configured_accounts
from bot.web import schemas
from bot.web.access import Token
from bot.web.api import Name, encoded, refused_with
from bot.web.figures import Figures

_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": schemas.Problem, "description": "The token is wrong or missing."},
    403: {"model": schemas.Problem, "description": "No token is set, so changes are off."},
    404: {"model": schemas.Problem, "description": "There is no such model or account."},
    409: {"model": schemas.Problem, "description": "It cannot be done now."},
}
log = structlog.get_logger()


def action_routes(figures: Figures, token: Token) -> APIRouter:
    """The routes that change something."""
    settings, clock = figures.settings, figures.clock
    router = APIRouter(prefix="/api/v1", responses=_REFUSED, dependencies=[Depends(token)])

    @router.post("/models/rollback", response_model=schemas.Pointer, summary="Make the previous model current again")
    def rollback() -> Response:
        with refused_with(409):
            changed = registry.rollback(registry.require_registry(settings.policy.model), clock.now())
        log.info("rolled_back", model_id=changed.model_id)
        return encoded(changed.summary())

    @router.post("/models/{model_id}/promote", response_model=schemas.Pointer, summary="Make a model current")
    def promote(
        model_id: Annotated[str, PathParameter(max_length=16, pattern="^[0-9a-f]+$", description="A model_id.")],
    ) -> Response:
        pointer = registry.require_registry(settings.policy.model)
        with refused_with(404):
            found = registry.find_model_id(pointer, model_id)
        with refused_with(409):
            changed = registry.promote(pointer, found, clock.now())
        log.info("promoted", model_id=changed.model_id)
        return encoded(changed.summary())

    @router.post("/accounts/{name:path}/pause", response_model=schemas.Paused, summary="Observe without trading")
    def pause(name: Name) -> Response:
        _require_account(figures, name)
        paused = ask_to_pause(settings, [name], clock.now())
        log.info("pause_asked", account=name)
        return encoded({"paused": paused})

    @router.post("/accounts/{name:path}/resume", response_model=schemas.Paused, summary="Trade again")
    def resume(name: Name) -> Response:
        _require_account(figures, name)
        paused = ask_to_resume(settings, [name])
        log.info("resume_asked", account=name)
        return encoded({"paused": paused})

    return router


def _require_account(figures: Figures, name: str) -> None:
    if name not in {*configured_accounts(figures.settings), *figures.names()}:
        raise HTTPException(404, f"there is no account {name!r}")
