"""The id of the current request, which is in its response, its problem document and its log lines.

admission.py gives a request its id, or auth.py if it rejects it; problems.py and logs.py read the current one here.
"""

from __future__ import annotations

import itertools
import re
import secrets
from contextvars import ContextVar

from starlette.types import Scope

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
        for name, value in scope["headers"]:
            if name == HEADER and SANE.fullmatch(value):
                return bytes(value)
        return b"%s-%d" % (self._prefix, next(self._count))


def current() -> Scope | None:
    """Return the request that this task, or the callback it scheduled, works for; None if there is none."""
    return _current.get()


def current_id() -> str | None:
    """Return the id of the current request, or None."""
    scope = _current.get()
    return None if scope is None else id_of(scope)


def id_of(scope: Scope) -> str | None:
    """Return the id of a request, or None if it has none yet."""
    found: bytes | None = scope.get(KEY)
    return None if found is None else found.decode("ascii")
