"""Which request is being answered: its id goes into its answer, its error document and the log lines about it.

admission.py gives a request its id; problems.py and logs.py read the current one here.
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
    """Names requests: by the caller's own id, or by one that no other process makes.

    Made ids are a random prefix of 48 bits, drawn when this object is made, and a count: a UUID for each request would
    take ten times as long.
    """

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6).encode()
        self._count = itertools.count(1)

    def name(self, scope: Scope) -> bytes:
        """Give the request its id, and make it the current request."""
        scope[KEY] = found = self.of(scope)
        _current.set(scope)
        return found

    def of(self, scope: Scope) -> bytes:
        """Return the request's id: that of its first sane X-Request-ID, or a new one at each call."""
        for name, value in scope["headers"]:
            if name == HEADER and SANE.fullmatch(value):
                return bytes(value)
        return b"%s-%d" % (self._prefix, next(self._count))


def current() -> Scope | None:
    """Return the request that this task, or the callback it scheduled, works for."""
    return _current.get()


def current_id() -> str | None:
    """Return the id of the current request."""
    scope = _current.get()
    return None if scope is None else id_of(scope)


def id_of(scope: Scope) -> str | None:
    """Return the id that a request was given, if it has one yet."""
    found: bytes | None = scope.get(KEY)
    return None if found is None else found.decode("ascii")
