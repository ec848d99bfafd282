"""The properties of a request and its response that the access log and the traces record."""

from __future__ import annotations

import time
from collections.abc import Collection

from starlette.types import Message, Scope, Send

from app.telemetry import traceparent

TRACE = "digit_vae.trace_id"  # where a request's scope has its trace id, if we have made a span for it


class ResponseRecorder:
    """Records a response on its way to the client; its clock starts when it is created.

    Args:
        scope: the request.
        send: ASGI's `send`; pass `ResponseRecorder.send` to the application in its place.
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
        """Record a message of the response, and pass it on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.model_version = _model_version(message)
        else:
            self.body_bytes += len(message.get("body", b""))
        await self._send(message)

    @property
    def seconds(self) -> float:
        """Seconds since the request arrived."""
        return time.perf_counter() - self._started

    @property
    def route(self) -> str | None:
        """The declared path; None if no route serves the request's path."""
        declared = getattr(self._scope.get("route"), "path", None) or self._scope["path"]
        return str(declared) if declared in self._routes else None

    @property
    def client(self) -> str | None:
        """The address of the client, or of the proxy in front of the service; None if there is none."""
        address = self._scope.get("client")
        return address[0] if address else None


def trace_id_of(scope: Scope) -> str | None:
    """Return the trace id of a request: its span's, else its traceparent's; None if it has neither."""
    found: str | None = scope.get(TRACE) or traceparent.trace_id(scope["headers"])
    return found


def _model_version(start: Message) -> int | None:
    for name, value in start.get("headers", ()):
        if name == b"x-model-version":
            return int(value)
    return None
