"""Authentication and rate limiting: a layer around AdmissionLimit, present only if the settings require it.

A rejected request costs only a check of its headers: its body is not read, and it does not count toward the limit of
concurrent requests.
"""

import hashlib
import hmac
import math
from collections.abc import Collection, Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import RateLimited, Unauthorized
from app.middleware.rate_limit import RateLimit, client_address
from app.settings.api_keys import Key

PROBES = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
# RFC 6750, 3: without an offer no error is named; with a wrong one it is.
CHALLENGE = 'Bearer realm="digit-vae"'
NO_KEY = "This service asks for a key: send it as 'Authorization: Bearer KEY' or as 'X-API-Key: KEY'."
WRONG_KEY = "The key is none of this service's. It may have been replaced; whoever runs the service has the new one."

MAX_KEY_BYTES = 512  # a longer one is no key, and is not worth hashing

RawHeaders = Iterable[tuple[bytes, bytes]]


def is_open(path: str, more: Collection[str] = ()) -> bool:
    """Return whether a path needs no key and has no rate limit: a probe, a model's readiness, or one of `more`."""
    return path in PROBES or path in more or (path.startswith("/v2/models/") and path.endswith("/ready"))


class Keyring:
    """All accepted keys, compared in constant time.

    The time of a rejection reveals nothing about a key. A credential is hashed first; hashing takes equally long for
    all credentials of one length. Its digest is then compared with the digest of every key to the last byte
    (hmac.compare_digest), without stopping at a match. Even a leaking comparison would reveal only a digest, and the
    client cannot choose how a digest begins.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

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
    """ASGI middleware that refuses unauthenticated requests, and requests above the rate limit.

    The rate is checked first, so that guessing keys is limited too. Requests are counted by the key's name, or by
    client address if they have no valid key, so that nobody else can use up a key's rate.

    Args:
        app: answers the requests that are let through.
        keys: the accepted keys; without any, none is asked for.
        limit: the rate limit of each caller, if there is one.
        open_paths: paths, besides the probes, that need no key and have no rate limit.
    """

    def __init__(self, app: ASGIApp, keys: Iterable[Key], limit: RateLimit | None, open_paths: Collection[str]) -> None:
        self._app = app
        self._keyring = Keyring(keys)
        self._limit = limit
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            Unauthorized: it has none of the keys.
            RateLimited: its caller sends too many.
        """
        if not is_open(scope["path"], self._open):
            self._check(scope)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        offers = credentials(scope["headers"]) if self._keyring else []
        name = self._keyring.key_name(offers)
        if self._limit is not None and (wait_s := self._limit.wait(_caller(name, scope))):
            seconds = max(1, math.ceil(wait_s))
            detail = f"This caller has sent more requests than it may. Try again in {seconds} s."
            raise RateLimited(detail, {"retry-after": str(seconds)})
        if self._keyring and name is None:
            if offers:
                raise Unauthorized(WRONG_KEY, {"www-authenticate": f'{CHALLENGE}, error="invalid_token"'})
            raise Unauthorized(NO_KEY, {"www-authenticate": CHALLENGE})  # RFC 9110, 11.6.1


def _caller(name: str | None, scope: Scope) -> str:
    return f"key {name}" if name else client_address(scope.get("client"))
