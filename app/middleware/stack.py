"""The layers around every request, from the outside in, and the routes inside them."""

import logging
from collections.abc import Collection, Sequence

from opentelemetry.trace import Tracer
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.route import Route, Router
from app.api.security_headers import SENT_HEADERS, SHOWN_HEADERS
from app.errors import NotFound
from app.middleware.admission import Admission, AdmissionLimit
from app.middleware.auth import ApiKeyAuth
from app.middleware.body_limit import BodyLimit
from app.middleware.cors import cors
from app.middleware.error_responses import ErrorResponses
from app.middleware.model_version import PinModel
from app.middleware.rate_limit import RateLimit
from app.settings import Settings
from app.telemetry.access_log import AccessLog
from app.telemetry.metrics import CountRequests, Metrics
from app.telemetry.request_id import AddRequestId
from app.telemetry.response_recorder import ResponseRecorder
from app.telemetry.tracing import Traced

log = logging.getLogger(__name__)


def layers(
    settings: Settings, admission: Admission, metrics: Metrics, tracer: Tracer | None, open_paths: Collection[str]
) -> list[Middleware]:
    """Return the layers that the settings ask for, the outermost first.

    Args:
        settings: the limits of bodies, and what is switched on.
        admission: limits requests.
        metrics: counts requests, and knows the declared paths.
        tracer: creates spans; None for none.
        open_paths: paths, besides the probes, that need no key and have no rate limit.
    """
    keys, rate = settings.all_keys, settings.rate_limit
    limit = RateLimit(rate, settings.rate_burst) if rate else None
    if keys or rate:
        names = ", ".join(sorted(key.name for key in keys))
        log.info("keys: %s; limit for each caller: %s", names or "none", rate or "none")
    return [
        Middleware(ResponseRecorder, SHOWN_HEADERS, SENT_HEADERS),
        Middleware(AddRequestId),
        *([Middleware(Traced, tracer, metrics.routes)] if tracer else []),
        *([Middleware(AccessLog, metrics.routes)] if settings.access_lines else []),
        Middleware(CountRequests, metrics),
        *([cors(settings.cors_origins)] if settings.cors_origins else []),
        Middleware(ErrorResponses),
        *([Middleware(ApiKeyAuth, keys, limit, open_paths)] if keys or limit else []),
        Middleware(AdmissionLimit, admission),
        Middleware(PinModel),
        Middleware(BodyLimit, settings.max_body_bytes, settings.body_timeout_s),
    ]


def all_must_be_seen(settings: Settings, tracer: Tracer | None) -> bool:
    """Return whether a layer outside of AdmissionLimit wants to see every request, refused ones too."""
    return bool(tracer or settings.access_lines or settings.cors_origins or settings.all_keys or settings.rate_limit)


def build_stack(routes: Sequence[Route], layers: Sequence[Middleware]) -> ASGIApp:
    """Return the application that answers with `routes` inside `layers`.

    Routes for POST are looked through first: they are those that are called thousands of times a second. A layer with
    nothing to do after the request returns the awaitable of the next one, which saves a coroutine.
    """
    first = [route for route in routes if "POST" in route.methods]
    others = [route for route in routes if "POST" not in route.methods]
    app: ASGIApp = Router([*first, *others], default=_not_found)
    for layer, arguments, options in reversed(layers):
        app = layer(app, *arguments, **options)
    return app


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotFound(f"Nothing is served at {scope['path'][:200]}. See /docs.")
