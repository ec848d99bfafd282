"""The application: its routes, the layers around them, and its service. Only this module knows all rooms."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from starlette import routing
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.explorer import routes as explorer
from app.api.openapi import build_openapi
from app.api.protocols import open_inference, tensorflow_serving
from app.api.route import Route
from app.api.routes import encode, generate, manifold, operations, reconstruct
from app.imaging.decode import ignore_warnings
from app.inference.batcher import Batcher
from app.inference.service import Service
from app.middleware.admission import Admission
from app.middleware.auth import is_open
from app.middleware.stack import all_must_be_seen, build_stack, layers
from app.models import native_log
from app.models.loader import OpenEngine, load_version, open_saved_models, release_memory
from app.models.reloader import Reloader
from app.models.store import ModelStore
from app.server.exit import exit_for_restart
from app.server.signals import draining, taken_elsewhere
from app.server.watchdog import Watchdog
from app.server.workers import end_with_supervisor
from app.settings import Settings
from app.settings.release import release
from app.telemetry import logs, tracing
from app.telemetry.batch_tracing import TracedBatcher
from app.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ROUTERS = (
    *(each.router for each in (encode, generate, reconstruct, manifold, operations)),
    operations.counting,
    *(each.router for each in (open_inference, tensorflow_serving, explorer)),
)
UNDOCUMENTED: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}
# Some 60 requests under way are more objects than the usual 700, after which all of them would be looked through.
YOUNG_OBJECTS = 20_000
DESCRIPTION = "A variational autoencoder of handwritten digits: encode images, generate digits, see the latent space."


class Application(FastAPI):
    """Routes of Starlette inside the layers of middleware/stack.py; FastAPI documents them, and runs the lifespan."""

    layers: list[Middleware]  # around all routes, the outermost first
    stack: ASGIApp
    service: Service | None = None  # from the start of the lifespan
    admission: Admission | None = None  # for a server that asks before it makes a task of a request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        scope["app"] = self
        await (self.stack if scope["type"] == "http" else self.router)(scope, receive, send)


def create_app(
    settings: Settings | None = None, open_engine: OpenEngine | None = None, tracers: TracerProvider | None = None
) -> Application:
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
    )
    routers = _routers(chosen)
    routes = [route for router in (app.router, *routers) for route in _routes(router)]
    paths = list(dict.fromkeys(route.path for router in (app.router, *ROUTERS) for route in _routes(router)))
    open_paths = _open_paths(app, chosen)
    for router in routers:
        app.include_router(router)  # for the documents
    app.openapi = functools.partial(  # type: ignore[method-assign]  # as FastAPI has it done
        build_openapi,
        app,
        is_open=lambda path: is_open(path, open_paths),
        keys=bool(chosen.all_keys),
        limited=chosen.rate_limit is not None,
    )
    metrics = app.state.metrics = Metrics(paths, chosen.metrics_dir)
    tracer = tracers.get_tracer(tracing.NAME, app.version) if tracers else None
    admission = Admission(metrics, chosen.max_requests, chosen.request_timeout_s)
    app.layers = layers(chosen, admission, metrics, tracer, open_paths)
    app.stack = build_stack(routes, app.layers)
    app.admission = None if all_must_be_seen(chosen, tracer) else admission
    return app


def _routers(settings: Settings) -> list[APIRouter]:
    """Return the routers that the settings do not switch off."""
    off = [operations.counting] * (settings.metrics == "off") + [explorer.router] * (not settings.explorer)
    return [router for router in ROUTERS if router not in off]


def _routes(router: APIRouter) -> list[Route]:
    """Return the routes that are declared in a router, as they are served."""
    declared = (route for route in router.routes if isinstance(route, routing.Route))
    return [Route(route.path, route.endpoint, methods=route.methods) for route in declared]


def _open_paths(app: FastAPI, settings: Settings) -> set[str]:
    """Return the paths, besides the probes, that need no key, without those that are switched off."""
    documents = {app.docs_url, app.redoc_url, app.openapi_url, app.swagger_ui_oauth2_redirect_url}
    return {
        *filter(None, documents if settings.docs else ()),
        *(explorer.open_paths() if settings.explorer else ()),
        *(["/metrics"] if settings.metrics == "open" else ()),
    }


@asynccontextmanager
async def running(
    app: Application, settings: Settings, open_engine: OpenEngine, tracers: TracerProvider | None
) -> AsyncIterator[None]:
    """Run the service during the block: it follows the store, and exits for a restart if it cannot continue.

    Raises:
        StoreError: there is no version, or it does not match its manifest.
        EngineError: the model's outputs do not match its manifest.
    """
    tensorflow = open_engine is open_saved_models
    with ExitStack() as around:
        if tensorflow:  # it may not be interrupted
            around.enter_context(taken_elsewhere())
        end_with_supervisor()
        store = ModelStore(settings.model_store)
        open_version = functools.partial(load_version, settings=settings, open_engine=open_engine)
        with native_log.held() if tensorflow else nullcontext():
            model = open_version(store.open(store.chosen(settings.model_version)))
        service = Service(model, settings, exit_for_restart, app.state.metrics, _batchers(tracers, app.version))
        app.service = service
        app.state.metrics.serves(service.model.version)
        _settle()
        reloader = Reloader(store, settings.model_version, open_version, service, app.state.metrics)
        exit_process = functools.partial(exit_for_restart, show_threads=True)
        around.enter_context(
            Watchdog(settings.model_timeout_s, service.batcher.running_batch, service.on_model_hang, exit_process)
        )
        try:
            with draining(service, settings.drain_s):
                async with reloader.every(settings.reload_interval_s):
                    yield
        finally:
            await service.close()
            if tracers:
                await asyncio.to_thread(tracing.close, tracers)


def _settle() -> None:
    """Return memory used only while loading to the OS, and exclude long-lived objects from garbage collection.

    TensorFlow creates a million objects that never become garbage; scanning them would delay every request.
    """
    release_memory()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def _batchers(tracers: TracerProvider | None, version: str) -> Callable[..., Batcher]:
    return functools.partial(TracedBatcher, tracers.get_tracer(tracing.NAME, version)) if tracers else Batcher
