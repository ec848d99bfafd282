"""The id of the current request, which is in its response, its problem document and its log lines.

AddRequestId gives a request its id; problems.py, access_log.py and logs.py read it here.
"""

import itertools
import re
import secrets
from collections.abc import Awaitable
from contextvars import ContextVar

from starlette.types import ASGIApp, Receive, Scope, Send

from app.telemetry.response_recorder import RESPONSE, RecordedResponse

HEADER = b"x-request-id"
KEY = "digit_vae.request_id"  # where a request's scope has its id
SANE = re.compile(rb"[!-~](?:[ -~]{0,126}[!-~])?")  # 1 .. 128 printable characters of ASCII, no space at an end

_current: ContextVar[Scope | None] = ContextVar("request", default=None)


class RequestIds:
    """Assigns ids to requests: the client's own id, or one that no other process generates.

    A generated id is a random prefix of 48 bits, drawn when this object is created, and a counter: a UUID per request
    would take ten times as long.
    """

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6).encode()
        self._count = itertools.count(1)

    def name(self, scope: Scope) -> bytes:
        """Assign an id to the request, make it the current request, and return the id."""
        scope[KEY] = found = self.of(scope)
        _current.set(scope)
        return found

    def of(self, scope: Scope) -> bytes:
        """Return the id in the request's first valid X-Request-ID; without one, return a new id at each call."""
        if HEADER in dict(scope["headers"]):
            for name, value in scope["headers"]:
                if name == HEADER and SANE.fullmatch(value):
                    return bytes(value)
        return b"%s-%d" % (self._prefix, next(self._count))


class AddRequestId:
    """ASGI middleware that gives each request an id, which its response returns in X-Request-ID."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._ids = RequestIds()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request, which has an id from now on."""
        response: RecordedResponse = scope[RESPONSE]
        response.added.append((HEADER, self._ids.name(scope)))
        return self._app(scope, receive, send)


def current() -> Scope | None:
    """Return the request that this task, or the callback it scheduled, works for; None if there is none."""
    return _current.get()


def id_of(scope: Scope) -> str | None:
    """Return the id of a request, or None if it has none yet."""
    found: bytes | None = scope.get(KEY)
    return None if found is None else found.decode("ascii")
