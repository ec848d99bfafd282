"""Security headers of every response. They are constant and depend only on the request's method.

A response to POST has only the header against content sniffing: a browser displays such a response at most to the
form that sent the request. /encode and /generate take microseconds, and each header costs half of one.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.responses import SENT_HEADERS, SHOWN_HEADERS


class SecurityHeaders:
    """ASGI middleware that adds each security header that a response does not have yet."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, with the security headers added to the response."""
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
