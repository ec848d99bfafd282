"""Limits of request bodies for every route: their size, and the time that they may take to come.

Starlette's own limit answers in plain text and immediately: a client that is still sending may find its connection
reset before it reads the response. Here the response is sent first. The rest of the body is then read and discarded
for at most LINGER_S seconds, as RFC 9112 (9.6) advises.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import error_response
from app.errors import BodyTimeout, BodyTooLarge
from app.middleware.deadlines import Deadlines

LINGER_S = 10.0
WHOLE_BODY = "digit_vae.whole_body"  # where a server may put the length of a body that is there already


class BodyBrokenOff(asyncio.CancelledError):
    """The request was cancelled while it waited for its body; admission.py answers it."""


class BodyLimit:
    """ASGI middleware that limits the size of a body and the time spent waiting for it.

    Inside the application, `receive` raises BodyTooLarge if a body is, or declares to be, larger than `max_bytes`. It
    raises BodyTimeout if the body does not come within `timeout_s` seconds.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._awaited = Deadlines(timeout_s)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass one request on to the application, with its body limited, unless it is there and small enough."""
        if scope.get(WHOLE_BODY, self._max_bytes + 1) <= self._max_bytes:
            return self._app(scope, receive, send)
        return self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive, self._max_bytes, _declared_length(scope), self._awaited)
        try:
            await self._app(scope, body.receive, send)
        except BodyTooLarge as error:
            if not body.refused:
                raise
            response = error_response(scope, error)
            await response(scope, receive, body.discarding(send))
        finally:
            if body.task is not None:
                self._awaited.pop(body.task, None)


def _declared_length(scope: Scope) -> int:
    value: bytes = dict(scope["headers"]).get(b"content-length", b"0")
    return int(value) if value.isdigit() else 0  # the server has checked it


class _Body:
    __slots__ = ("_awaited", "_declared", "_ended", "_max_bytes", "_read", "_receive", "refused", "task")

    def __init__(self, receive: Receive, max_bytes: int, declared: int, awaited: Deadlines) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._declared = declared
        self._awaited = awaited
        self.task: asyncio.Task[Any] | None = None  # that waits for the body
        self._read = 0
        self._ended = False
        self.refused = False

    async def receive(self) -> Message:
        if self._ended:  # there is only the caller's leaving to wait for, which has no time
            return await self._receive()
        if self._declared > self._max_bytes:
            self._refuse()
        if self.task is None:
            self.task = asyncio.current_task()
            assert self.task is not None
            self._awaited.begin(self.task)
        try:
            message = self._noted(await self._receive())
        except asyncio.CancelledError as cancelled:
            if self._awaited.ran_out(self.task):
                raise BodyTimeout(f"The body did not come in {self._awaited.timeout_s:g} s.") from None
            raise BodyBrokenOff from cancelled
        if self._ended:
            self._awaited.pop(self.task, None)
        if self._read > self._max_bytes:
            self._awaited.pop(self.task, None)  # what is left has LINGER_S
            self._refuse()
        return message

    def discarding(self, send: Send) -> Send:
        """Return a `send` that reads the rest of the body before the end of the response."""

        async def send_and_discard(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
                return
            await send({**message, "more_body": True})
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    while not self._ended:
                        self._noted(await self._receive())
            await send({"type": "http.response.body"})

        return send_and_discard

    def _noted(self, message: Message) -> Message:
        self._read += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    def _refuse(self) -> None:
        self.refused = True
        raise BodyTooLarge(f"The body is larger than the {self._max_bytes:,} bytes that are read.")
