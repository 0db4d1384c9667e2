"""Who may change something: whoever shows the token."""

import asyncio
import hmac
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request

_SLOW_SECONDS: Final = 1.0  # that a wrong token waits for its answer
_MOST_WAITING: Final = 16

log = structlog.get_logger()


class Token:
    """The token of `serve.token`; an empty one opens nothing."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._waiting = 0

    async def __call__(self, request: Request) -> None:
        """Let a request with the token pass.

        Raises HTTPException: 403 where no token is set, 401 where another one or none was shown, 429 where too many
        wrong ones wait for their answers.
        """
        if not self._token:
            raise HTTPException(403, "changes are off: set HOURHAND_SERVE__TOKEN and start `hourhand serve` again")
        kind, _, shown = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), self._token):
            return
        client = request.client.host if request.client else "unknown"
        log.warning("wrong_token", client=client, method=request.method, path=request.url.path)
        if self._waiting >= _MOST_WAITING:
            raise HTTPException(429, "too many wrong tokens: try again later")
        self._waiting += 1
        try:
            await asyncio.sleep(_SLOW_SECONDS)
        finally:
            self._waiting -= 1
        sentence = "this is not the token" if shown else "show the token: Authorization: Bearer TOKEN"
        raise HTTPException(401, sentence, headers={"WWW-Authenticate": "Bearer"})
