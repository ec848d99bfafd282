"""Access log: a log line per request, outside of authentication and admission. Installed only if it is enabled."""

import logging
from collections.abc import Collection
from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

from app.telemetry.request_id import id_of
from app.telemetry.response_recorder import declared_path, response_of
from app.telemetry.tracing import trace_id_of

LINE = "%(client)s %(method)s %(path)s %(status)s %(duration_s)s s %(bytes)s B, request %(request_id)s"

log = logging.getLogger(__name__)


class AccessLog:
    """ASGI middleware that logs each request after its response has been sent.

    Args:
        app: the application that answers.
        routes: the declared paths.
    """

    def __init__(self, app: ASGIApp, routes: Collection[str]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, then log it."""
        try:
            await self._app(scope, receive, send)
        finally:
            self._write(scope)

    def _write(self, scope: Scope) -> None:
        """Log the request: a message for people, fields for programs (logs.JsonFormatter)."""
        response, route, client = response_of(scope), declared_path(scope), scope.get("client")
        fields = {
            "request_id": id_of(scope),
            "trace_id": trace_id_of(scope),
            "method": scope["method"],
            "path": quote(scope["path"]),  # escaped again, so that no line break gets into a line
            "route": route if route in self._routes else None,
            "status": response.status,
            "duration_s": round(response.seconds, 6),
            "bytes": response.body_bytes,
            "model_version": response.model_version,
            "client": client[0] if client else None,  # or the proxy in front of the service
        }
        log.info(LINE, fields)
