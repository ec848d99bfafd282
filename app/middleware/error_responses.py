"""The one place where the error of a request becomes its response."""

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import error_response
from app.errors import DigitVaeError
from app.telemetry.response_recorder import response_of


class ErrorResponses:
    """ASGI middleware that answers with api/problems.py whatever the layers and the route inside raise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. In the middle of a response an error ends it, and a fault is raised again."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            if response_of(scope).status is None:
                await error_response(scope, error)(scope, receive, send)
            elif not isinstance(error, DigitVaeError):
                raise
