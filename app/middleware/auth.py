"""Who may call, and how often: stands before the inner where the settings ask for it; otherwise there is nothing.

uvicorn -> CORS -> ApiKeyAuth (key, rate) -> AdmissionLimit -> ...

What is refused here has cost a look at its headers: its body is not read, and it takes no place among the requests
under way.
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
    """Whether anybody may ask, as often as they like: probes, a model's too, and what else is open (`more`)."""
    return path in PROBES or path in more or (path.startswith("/v2/models/") and path.endswith("/ready"))


def add_auth(inner: ASGIApp, settings: Settings, metrics: Metrics, open_paths: Collection[str]) -> ASGIApp:
    """Wrap an application in the middleware that the settings ask for; return it alone where they ask for none.

    Args:
        inner: what answers those who may call.
        settings: `all_keys`, `rate_limit`, `rate_burst` and `cors_origins` are looked at.
        metrics: where refusals are counted.
        open_paths: what needs no key and is not limited, besides the probes.
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
    """All keys that are accepted.

    A refusal's time tells nothing of a key: an offer is hashed first, which takes as long for a right one as for a
    wrong one of that length. Then the digest is compared with every key's, each time to the last byte
    (hmac.compare_digest) and without stopping at the one that fits. Even a comparison that did leak would say
    something of a digest that the caller cannot choose the beginning of.
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

    A proxy may want Authorization for itself, hence the second. Of a header that is repeated the last one counts, so
    there are never more than two; a query parameter is no offer, since addresses are logged.
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
    """ASGI middleware: answers 401 and 429 itself, and hands on the rest.

    The rate is looked at first, so that trying keys is limited too; by the key's name where there is one, else by
    address, so that nobody uses up what belongs to a key.
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
        """One request."""
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
