"""The application: builds a FastAPI app from settings. Only this module chooses an engine."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI

from app.api import problems
from app.api.explorer import routes as explorer
from app.api.openapi import build_openapi
from app.api.protocols import open_inference, tensorflow_serving
from app.api.routes import encode, generate, manifold, operations, reconstruct
from app.imaging.decode import ignore_warnings
from app.middleware.admission import AdmissionLimit
from app.middleware.auth import add_auth, is_open
from app.middleware.body_limit import BodyLimit
from app.middleware.security_headers import SecurityHeaders
from app.middleware.short_cuts import SHORT_CUTS
from app.models.loader import OpenEngine, open_saved_models
from app.server.application import Application
from app.server.at_once import AtOnce
from app.server.lifespan import running
from app.settings import Settings
from app.settings.release import release
from app.telemetry import logs, tracing
from app.telemetry.access_log import AccessLog
from app.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ROUTERS = (
    encode.router,
    generate.router,
    reconstruct.router,
    manifold.router,
    operations.router,
    operations.counting,
    open_inference.router,
    tensorflow_serving.router,
    explorer.router,
)
UNDOCUMENTED: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}
DESCRIPTION = "A variational autoencoder of handwritten digits: encode images, generate digits, see the latent space."


def create_app(
    settings: Settings | None = None,
    open_engine: OpenEngine | None = None,
    tracers: TracerProvider | None = None,
) -> FastAPI:
    """Create the service as an ASGI application; its lifespan loads the model.

    Args:
        settings: by default read from the environment (VAE_...).
        open_engine: opens a stored version; by default with TensorFlow.
        tracers: OpenTelemetry's provider, closed at the end; by default built from the OTEL_ variables, usually none.

    Raises:
        pydantic.ValidationError: a setting is out of range.
        StoreError: at startup: no version is stored, or it does not match its manifest.
    """
    chosen = settings or Settings()
    logs.configure(chosen)
    ignore_warnings()
    tracers = tracers or tracing.provider(os.environ)

    app = Application(
        title="digit-vae",
        version=release(),
        description=DESCRIPTION,
        lifespan=functools.partial(
            running, settings=chosen, open_engine=open_engine or open_saved_models, tracers=tracers
        ),
        **({} if chosen.docs else UNDOCUMENTED),
        # /metrics, logs.py and tracing.py have them; asking for a provider costs on each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(BodyLimit, max_bytes=chosen.max_body_bytes, timeout_s=chosen.body_timeout_s)
    for router in _routers(chosen):
        app.include_router(router)
    problems.install(app)
    _put_at_the_edge(app, chosen, tracers)
    return app


def _routers(settings: Settings) -> list[APIRouter]:
    """Return the routers that the settings do not switch off."""
    off = [operations.counting] * (settings.metrics == "off") + [explorer.router] * (not settings.explorer)
    return [router for router in ROUTERS if router not in off]


def _open_paths(app: FastAPI, settings: Settings) -> set[str]:
    """Return the paths, besides the probes, that need no key, without those that are switched off."""
    documents = {app.docs_url, app.redoc_url, app.openapi_url, app.swagger_ui_oauth2_redirect_url}
    return {
        *filter(None, documents if settings.docs else ()),
        *(explorer.open_paths() if settings.explorer else ()),
        *(["/metrics"] if settings.metrics == "open" else ()),
    }


def _put_at_the_edge(app: Application, settings: Settings, tracers: TracerProvider | None) -> None:
    """Wrap the application in admission, authentication, metrics, access log and traces, once all routes exist."""
    declared = (route.path for router in (app.router, *ROUTERS) for route in router.routes if hasattr(route, "path"))
    routes = list(dict.fromkeys(declared))
    app.state.metrics = Metrics(routes, settings.metrics_dir)
    innermost = AdmissionLimit(
        SecurityHeaders(functools.partial(FastAPI.__call__, app)),
        short_cuts=SHORT_CUTS,
        metrics=app.state.metrics,
        max_requests=settings.max_requests,
        timeout_s=settings.request_timeout_s,
    )
    open_paths = _open_paths(app, settings)
    edge = add_auth(innermost, settings, app.state.metrics, open_paths)
    app.openapi = functools.partial(  # type: ignore[method-assign]  # as FastAPI has it done
        build_openapi,
        app,
        is_open=lambda path: is_open(path, open_paths),
        keys=bool(settings.all_keys),
        limited=settings.rate_limit is not None,
    )
    if settings.access_lines:
        edge = AccessLog(edge, frozenset(routes))
    if tracers:
        edge = tracing.Traced(edge, tracers.get_tracer(tracing.NAME, app.version), frozenset(routes))
    app.edge = edge
    # What stands around the edge wants to see every request.
    app.express = AtOnce(innermost) if edge is innermost else None
