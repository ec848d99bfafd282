"""What every answer tells browsers not to do with it. Static: nothing is decided per request but by its method.

An answer to POST says only that its content type is meant: a browser shows such an answer at most to the form that
sent it, and /encode and /generate are counted in microseconds, of which each header costs half a one.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.responses import SENT_HEADERS, SHOWN_HEADERS


class SecurityHeaders:
    """ASGI middleware: puts the headers on whatever answer has none of that name yet."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = SHOWN_HEADERS if scope["method"] in ("GET", "HEAD") else SENT_HEADERS

        async def protecting(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                named = {name for name, _ in headers}
                headers += [each for each in wanted if each[0] not in named]
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, protecting)
