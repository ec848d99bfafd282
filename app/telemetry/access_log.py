"""Access log: a log line per request, outside of authentication and admission. Installed only if it is enabled."""

from __future__ import annotations

import logging
from collections.abc import Collection
from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

from app.telemetry.request_id import id_of
from app.telemetry.response_recorder import ResponseRecorder, trace_id_of

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
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = ResponseRecorder(scope, send, self._routes)
        try:
            await self._app(scope, receive, exchange.send)
        finally:
            _write(scope, exchange)


def _write(scope: Scope, exchange: ResponseRecorder) -> None:
    """Log the request: a message for people, fields for programs (logs.JsonFormatter)."""
    fields = {
        "request_id": id_of(scope),
        "trace_id": trace_id_of(scope),
        "method": scope["method"],
        "path": quote(scope["path"]),  # escaped again, so that no line break gets into a line
        "route": exchange.route,
        "status": exchange.status,
        "duration_s": round(exchange.seconds, 6),
        "bytes": exchange.body_bytes,
        "model_version": exchange.model_version,
        "client": exchange.client,
    }
    log.info("%(client)s %(method)s %(path)s %(status)s %(duration_s)s s %(bytes)s B, request %(request_id)s", fields)
