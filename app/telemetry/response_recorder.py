"""The record of each response: what access log, metrics and traces say about it, and header fields to add to it."""

import time
from collections.abc import Awaitable
from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Fields = tuple[tuple[bytes, bytes], ...]

RESPONSE = "digit_vae.response"  # where a request's scope has the record of its response
MODEL_VERSION = b"x-model-version"


class ResponseRecorder:
    """ASGI middleware that records each response; the outermost one, so that no response passes it by.

    Args:
        app: the application that answers.
        shown: header fields that each response to GET and HEAD gets unless it has them.
        sent: header fields that each response to another method gets.
    """

    def __init__(self, app: ASGIApp, shown: Fields = (), sent: Fields = ()) -> None:
        self._app = app
        self._shown = shown
        self._sent = sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, with the record in its scope."""
        if scope["method"] in ("GET", "HEAD"):
            record = RecordedResponse(send, defaults=self._shown)
        else:
            record = RecordedResponse(send, added=self._sent)
        scope[RESPONSE] = record
        try:
            await self._app(scope, receive, record.send)
        finally:
            del scope[RESPONSE]  # servers' `send` leads to the scope: a circle would be left to the garbage collector


class RecordedResponse:
    """One response on its way to the client; its clock starts when it is created.

    Args:
        send: ASGI's `send`.
        defaults: header fields that the response gets unless it has them.
        added: header fields that the response gets; layers inside add to them.
    """

    __slots__ = ("_defaults", "_send", "added", "body_bytes", "fields", "started", "status")

    def __init__(self, send: Send, defaults: Fields = (), added: Fields = ()) -> None:
        self._send = send
        self._defaults = defaults
        self.started = time.perf_counter()
        self.added = [*added]
        self.fields: list[tuple[bytes, bytes]] = []  # those that were sent
        self.status: int | None = None  # None: there is no response yet, or the caller hung up before
        self.body_bytes = 0

    def send(self, message: Message) -> Awaitable[None]:
        """Record a message of the response, and pass it on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.fields = [*message.get("headers", ()), *self.added]
            if self._defaults:
                names = [name for name, _ in self.fields]
                self.fields += [field for field in self._defaults if field[0] not in names]
            message = {**message, "headers": self.fields}
        else:
            self.body_bytes += len(message.get("body", b""))
        return self._send(message)

    @property
    def seconds(self) -> float:
        """Seconds since the request arrived."""
        return time.perf_counter() - self.started

    @property
    def model_version(self) -> int | None:
        """The version of the model that computed the response, if any."""
        return next((int(value) for name, value in self.fields if name == MODEL_VERSION), None)


def declared_path(scope: Scope) -> str:
    """Return the declared path of a request's route; its own path before a route was found, or if none fits."""
    route = scope.get("route")
    return str(scope["path"] if route is None else route.path)


def response_of(scope: Scope) -> RecordedResponse:
    """Return the record of a request's response."""
    return cast(RecordedResponse, scope[RESPONSE])
