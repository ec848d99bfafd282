"""Limit of request bodies for every route, with the service's own 413.

Starlette's own limit answers in plain text and immediately: a client that is still sending may find its connection
reset before it reads the response. Here the response is sent first. The rest of the body is then read and discarded
for at most LINGER_S seconds, as RFC 9112 (9.6) advises.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTooLarge
from app.middleware.body_clock import BodyClock

LINGER_S = 10.0


class BodyLimit:
    """ASGI middleware that limits the size of a body and the time spent waiting for it.

    Inside the application, `receive` raises BodyTooLarge if a body is, or declares to be, larger than `max_bytes`. It
    raises BodyTimeout after waiting for the body for more than `timeout_s` seconds.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on to the application, with its body limited."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        else:
            body = _Body(receive, send, self.max_bytes, _declared_length(scope), BodyClock(receive, self.timeout_s))
            await self.app(scope, body.receive, body.send)


def _declared_length(scope: Scope) -> int:
    text = Headers(scope=scope).get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0  # the server has checked it


class _Body:
    def __init__(self, receive: Receive, send: Send, max_bytes: int, declared: int, clock: BodyClock) -> None:
        self._receive = receive
        self._clock = clock
        self._send = send
        self._max_bytes = max_bytes
        self._declared = declared
        self._read = 0
        self._refused = False
        self._ended = False

    async def receive(self) -> Message:
        if self._declared > self._max_bytes:
            self._refuse()
        # Behind the body there is only the caller's leaving to wait for, which has no time.
        message = self._noted(await (self._receive() if self._ended else self._clock))
        if self._read > self._max_bytes:
            self._refuse()
        return message

    async def send(self, message: Message) -> None:
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not (self._refused and last):
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while not self._ended:
                    self._noted(await self._receive())
        await self._send({"type": "http.response.body"})

    def _noted(self, message: Message) -> Message:
        self._read += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    def _refuse(self) -> None:
        self._refused = True
        raise BodyTooLarge(f"The body is larger than the {self._max_bytes:,} bytes that are read.")
