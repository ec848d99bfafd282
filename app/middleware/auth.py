"""Authentication and rate limiting: a layer around AdmissionLimit, present only if the settings require it.

uvicorn -> CORS -> ApiKeyAuth (key, rate) -> AdmissionLimit -> ...

A rejected request costs only a check of its headers: its body is not read, and it does not count toward the limit of
concurrent requests.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import time
from collections.abc import Collection, Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import problems
from app.errors import DigitVaeError, RateLimited, Unauthorized
from app.middleware.cors import add_cors
from app.middleware.rate_limit import RateLimit, client_address
from app.settings import Settings
from app.settings.api_keys import Key
from app.telemetry.metrics import Metrics
from app.telemetry.request_id import RequestIds

PROBES = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
# RFC 6750, 3: without an offer no error is named; with a wrong one it is.
CHALLENGE = 'Bearer realm="digit-vae"'
NO_KEY = "This service asks for a key: send it as 'Authorization: Bearer KEY' or as 'X-API-Key: KEY'."
WRONG_KEY = "The key is none of this service's. It may have been replaced; whoever runs the service has the new one."

MAX_KEY_BYTES = 512  # a longer one is no key, and is not worth hashing

RawHeaders = Iterable[tuple[bytes, bytes]]
Refusal = tuple[DigitVaeError, dict[str, str]]  # why, and the headers that say what to do

log = logging.getLogger(__name__)


def is_open(path: str, more: Collection[str] = ()) -> bool:
    """Return whether a path needs no key and has no rate limit: a probe, a model's readiness, or one of `more`."""
    return path in PROBES or path in more or (path.startswith("/v2/models/") and path.endswith("/ready"))


def add_auth(inner: ASGIApp, settings: Settings, metrics: Metrics, open_paths: Collection[str]) -> ASGIApp:
    """Wrap an application in the middleware that the settings require; return it unchanged if they require none.

    Args:
        inner: answers the requests that are let through.
        settings: provides `all_keys`, `rate_limit`, `rate_burst` and `cors_origins`.
        metrics: counts rejected requests.
        open_paths: paths, besides the probes, that need no key and have no rate limit.
    """
    app = inner
    if settings.all_keys or settings.rate_limit:
        keyring = Keyring(settings.all_keys) if settings.all_keys else None
        limit = RateLimit(settings.rate_limit, settings.rate_burst) if settings.rate_limit else None
        app = ApiKeyAuth(inner, keyring, limit, metrics, open_paths)
        names = sorted({key.name for key in settings.all_keys})
        log.info("keys: %s; limit for each caller: %s", ", ".join(names) or "none", settings.rate_limit or "none")
    return add_cors(app, settings.cors_origins) if settings.cors_origins else app


class Keyring:
    """All accepted keys, compared in constant time.

    The time of a rejection reveals nothing about a key. A credential is hashed first; hashing takes equally long for
    all credentials of one length. Its digest is then compared with the digest of every key to the last byte
    (hmac.compare_digest), without stopping at a match. Even a leaking comparison would reveal only a digest, and the
    client cannot choose how a digest begins.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def key_name(self, offers: Iterable[bytes]) -> str | None:
        """Return the name of the key among the credentials; None if none of them is a key."""
        found = None
        for offer in offers:
            digest = hashlib.sha256(offer).digest()
            for key in self._keys:
                if hmac.compare_digest(key.digest, digest):
                    found = key.name
        return found


def credentials(headers: RawHeaders) -> list[bytes]:
    """Return a request's credentials: `Authorization: Bearer KEY` (RFC 6750, 2.1), `X-API-Key: KEY`, or both.

    The second header is for clients behind a proxy that uses Authorization itself. Of a repeated header the last one
    counts, so there are at most two credentials. Credentials longer than MAX_KEY_BYTES are ignored. A query parameter
    is not accepted, because URLs are logged.
    """
    bearer = plain = b""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            bearer = key.strip() if scheme.lower() == b"bearer" else b""
        elif name == b"x-api-key":
            plain = value.strip()
    return [offer for offer in (bearer, plain) if 0 < len(offer) <= MAX_KEY_BYTES]


class ApiKeyAuth:
    """ASGI middleware that answers unauthenticated requests with 401 and requests above the rate limit with 429.

    The rate is checked first, so that guessing keys is limited too. Requests are counted by the key's name, or by
    client address if they have no valid key, so that nobody else can use up a key's rate.
    """

    def __init__(
        self,
        app: ASGIApp,
        keyring: Keyring | None,
        limit: RateLimit | None,
        metrics: Metrics,
        open_paths: Collection[str],
    ) -> None:
        self._app = app
        self._keyring = keyring
        self._limit = limit
        self._metrics = metrics
        self._open = frozenset(open_paths)
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject one request, or pass it on to the application."""
        started = time.perf_counter()
        refusal = None
        if scope["type"] == "http" and not is_open(scope["path"], self._open):
            refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        error, headers = refusal
        headers["x-request-id"] = self._ids.name(scope).decode("ascii")
        response = problems.problem_response(error, problems.in_protocol(scope["path"]), headers)
        await response(scope, receive, send)
        self._metrics.request(scope["path"], response.status_code, time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> Refusal | None:
        offers = credentials(scope["headers"]) if self._keyring else []
        name = self._keyring.key_name(offers) if self._keyring else None
        if self._limit is not None and (wait_s := self._limit.wait(_caller(name, scope))):
            return _too_many(wait_s)
        if self._keyring is None or name is not None:
            return None
        if offers:
            return Unauthorized(WRONG_KEY), {"www-authenticate": f'{CHALLENGE}, error="invalid_token"'}
        return Unauthorized(NO_KEY), {"www-authenticate": CHALLENGE}  # RFC 9110, 11.6.1


def _caller(name: str | None, scope: Scope) -> str:
    return f"key {name}" if name else client_address(scope.get("client"))


def _too_many(wait_s: float) -> Refusal:
    seconds = max(1, math.ceil(wait_s))
    error = RateLimited(f"This caller has sent more requests than it may. Try again in {seconds} s.")
    return error, {"retry-after": str(seconds)}
