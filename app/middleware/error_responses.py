"""The one place where the error of a request becomes its response."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import error_response
from app.telemetry.response_recorder import response_of


class ErrorResponses:
    """ASGI middleware that answers with api/problems.py whatever the layers and the route inside raise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. An error after a response has begun is raised again: the server then hangs up."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            if response_of(scope).status is not None:
                raise
            await error_response(scope, error)(scope, receive, send)
