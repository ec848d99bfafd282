"""Who may call, and how often: stands before the edge where the settings ask for it; otherwise there is nothing.

uvicorn -> CORS -> Gate (key, rate) -> Edge -> ...

What is refused here has cost a look at its headers: its body is not read, and it takes no place among the requests
under way.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from app import callers, origins, problems
from app.errors import DigitVaeError, RateLimited, Unauthorized
from app.keys import Keyring, presented
from app.metrics import Metrics
from app.rate import RateLimit
from app.request_ids import RequestIds
from app.settings import Settings

PROBES = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
# RFC 6750, 3: without an offer no error is named; with a wrong one it is.
CHALLENGE = 'Bearer realm="digit-vae"'
NO_KEY = "This service asks for a key: send it as 'Authorization: Bearer KEY' or as 'X-API-Key: KEY'."
WRONG_KEY = "The key is none of this service's. It may have been replaced; whoever runs the service has the new one."

Refusal = tuple[DigitVaeError, dict[str, str]]  # why, and the headers that say what to do

log = logging.getLogger(__name__)


def is_open(path: str, more: Collection[str] = ()) -> bool:
    """Whether anybody may ask, as often as they like: probes, a model's too, and what else is open (`more`)."""
    return path in PROBES or path in more or (path.startswith("/v2/models/") and path.endswith("/ready"))


def guarded(edge: ASGIApp, settings: Settings, metrics: Metrics, open_paths: Collection[str]) -> ASGIApp:
    """The edge behind what the settings ask for: the edge itself where they ask for nothing.

    Args:
        edge: what answers those who may call.
        settings: `all_keys`, `rate_limit`, `rate_burst` and `cors_origins` are looked at.
        metrics: where refusals are counted.
        open_paths: what needs no key and is not limited, besides the probes.
    """
    app = edge
    if settings.all_keys or settings.rate_limit:
        keyring = Keyring(settings.all_keys) if settings.all_keys else None
        limit = RateLimit(settings.rate_limit, settings.rate_burst) if settings.rate_limit else None
        app = Gate(edge, keyring, limit, metrics, open_paths)
        names = sorted({key.name for key in settings.all_keys})
        log.info("keys: %s; limit for each caller: %s", ", ".join(names) or "none", settings.rate_limit or "none")
    return origins.shared(app, settings.cors_origins) if settings.cors_origins else app


class Gate:
    """ASGI middleware: answers 401 and 429 itself, and hands on the rest.

    The rate is looked at first, so that trying keys is limited too; by the key's name where there is one, else by
    address, so that nobody uses up what belongs to the holder of a key.
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
        response = problems.respond(error, problems.in_protocol(scope["path"]), headers)
        await response(scope, receive, send)
        self._metrics.request(scope["path"], response.status_code, time.perf_counter() - started)

    def _refusal(self, scope: Scope) -> Refusal | None:
        offers = presented(scope["headers"]) if self._keyring else []
        holder = self._keyring.holder(offers) if self._keyring else None
        if self._limit is not None and (wait_s := self._limit.wait(_caller(holder, scope))):
            return _too_many(wait_s)
        if self._keyring is None or holder is not None:
            return None
        if offers:
            return Unauthorized(WRONG_KEY), {"www-authenticate": f'{CHALLENGE}, error="invalid_token"'}
        return Unauthorized(NO_KEY), {"www-authenticate": CHALLENGE}  # RFC 9110, 11.6.1


def _caller(holder: str | None, scope: Scope) -> str:
    return f"key {holder}" if holder else callers.address(scope.get("client"))


def _too_many(wait_s: float) -> Refusal:
    seconds = max(1, math.ceil(wait_s))
    error = RateLimited(f"This caller has sent more requests than it may. Try again in {seconds} s.")
    return error, {"retry-after": str(seconds)}
