"""A request and what was answered to it, as a log line or a span tells of it."""

from __future__ import annotations

import time
from collections.abc import Collection

from starlette.types import Message, Scope, Send

from app.telemetry import traceparent

TRACE = "digit_vae.trace_id"  # where a request's scope has its trace id, if we have made a span for it


class ResponseRecorder:
    """Listens to an answer on its way to the caller, from now on.

    Args:
        scope: the request.
        send: the way to the caller; give the application `ResponseRecorder.send` in its place.
        routes: the declared paths.
    """

    def __init__(self, scope: Scope, send: Send, routes: Collection[str]) -> None:
        self._scope = scope
        self._send = send
        self._routes = routes
        self._started = time.perf_counter()
        self.status: int | None = None  # None: the caller hung up before there was one
        self.body_bytes = 0
        self.model_version: int | None = None  # which version of the model spoke, if any

    async def send(self, message: Message) -> None:
        """Pass on a message of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.model_version = _model_version(message)
        else:
            self.body_bytes += len(message.get("body", b""))
        await self._send(message)

    @property
    def seconds(self) -> float:
        """Since the request came in."""
        return time.perf_counter() - self._started

    @property
    def route(self) -> str | None:
        """The path as it is declared; None if nothing is served there."""
        declared = getattr(self._scope.get("route"), "path", None) or self._scope["path"]
        return str(declared) if declared in self._routes else None

    @property
    def client(self) -> str | None:
        """The address at the other end of the connection: the caller, or the proxy before us."""
        address = self._scope.get("client")
        return address[0] if address else None


def trace_id_of(scope: Scope) -> str | None:
    """Return the trace of a request: that of its span, else that of its traceparent."""
    found: str | None = scope.get(TRACE) or traceparent.trace_id(scope["headers"])
    return found


def _model_version(start: Message) -> int | None:
    for name, value in start.get("headers", ()):
        if name == b"x-model-version":
            return int(value)
    return None
