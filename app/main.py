"""The application: settings in, FastAPI out. The only place that picks an engine."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from importlib import metadata
from types import FrameType
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app import images, logs, memory, points, problems, tracing
from app.access import guarded, is_open
from app.access_log import AccessLog
from app.at_once import AtOnce
from app.batch_spans import TracedBatcher
from app.batching import Batcher
from app.body_limit import BodyLimit
from app.departure import leave_to_start_anew
from app.edge import Edge
from app.engine import Engine
from app.metrics import Metrics
from app.protection import Protected
from app.reloading import Reloader
from app.routes import explorer, inference, manifold, open_inference, operations, permissions, tensorflow_serving
from app.routes.documents import define_problem
from app.routes.short_cuts import SHORT_CUTS
from app.served_model import ServedModel
from app.service import Service
from app.settings import Settings
from app.signals import taken_elsewhere
from app.spreading import SpreadEngine
from app.store import ModelStore, StoredVersion
from app.supervisor import end_with_supervisor
from app.verification import probe
from app.watchdog import Watchdog

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

OpenEngine = Callable[[StoredVersion, Settings], Engine]
Lifespan = Callable[["_Application"], AbstractAsyncContextManager[None]]

log = logging.getLogger(__name__)

ROUTERS = (
    inference.router,
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
    """The service as an ASGI application; the model is loaded when its lifespan starts.

    Args:
        settings: by default read from the environment (VAE_...).
        open_engine: what runs a stored version; by default TensorFlow.
        tracers: OpenTelemetry's, closed at the end; by default as the OTEL_ variables say, usually none.

    Raises:
        pydantic.ValidationError: a setting is out of range.
        StoreError: while starting: there is no version, or it is not what its manifest says.
    """
    chosen = settings or Settings()
    logs.configure(chosen)
    images.ignore_warnings()
    tracers = tracers or tracing.provider(os.environ)

    @asynccontextmanager
    async def lifespan(app: _Application) -> AsyncIterator[None]:
        end_with_supervisor()
        store = ModelStore(chosen.model_store)
        open_version = functools.partial(load, settings=chosen, open_engine=open_engine or open_saved_models)
        model = open_version(store.open(store.chosen(chosen.model_version)))
        service = Service(model, chosen, app.state.metrics, _batchers(tracers))
        app.has(service)
        app.state.metrics.serves(service.model.version)
        memory.give_back()
        # TensorFlow is a million objects that will never be garbage: looking through them holds up every request.
        gc.freeze()
        reloader = Reloader(store, chosen.model_version, open_version, service, app.state.metrics)
        leave = functools.partial(leave_to_start_anew, show_threads=True)
        with Watchdog(chosen.model_timeout_s, service.at_work, service.hangs, leave):
            try:
                with _draining(service, chosen.drain_s):
                    async with reloader.every(chosen.reload_interval_s):
                        yield
            finally:
                await service.close()
                if tracers:
                    await asyncio.to_thread(tracing.close, tracers)

    app = _Application(
        title="digit-vae",
        version=_version(),
        description=DESCRIPTION,
        lifespan=lifespan if open_engine else _uninterrupted(lifespan),
        **({} if chosen.docs else UNDOCUMENTED),
        # /metrics, logs.py and tracing.py have them; asking for a provider costs on each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(BodyLimit, max_bytes=chosen.max_body_bytes, timeout_s=chosen.body_timeout_s)
    for router in _routers(chosen):
        app.include_router(router)
    define_problem(app)
    problems.install(app)
    _put_at_the_edge(app, chosen, tracers)
    return app


def _uninterrupted(lifespan: Lifespan) -> Lifespan:
    """The same, with signals kept away from where TensorFlow runs."""

    @asynccontextmanager
    async def uninterrupted(app: _Application) -> AsyncIterator[None]:
        with taken_elsewhere():
            async with lifespan(app):
                yield

    return uninterrupted


class _Application(FastAPI):
    """FastAPI behind the edge: what takes a short cut there never comes in here."""

    edge: ASGIApp
    express: AtOnce | None = None
    service: Service | None = None  # from the start of the lifespan; routes find it in the state
    describe: Callable[[dict[str, Any]], None]

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, and in it who may call; made when it is first asked for."""
        if not self.openapi_schema:
            self.describe(super().openapi())
        return super().openapi()

    def has(self, service: Service) -> None:
        """Use this service from now on."""
        self.service = self.state.service = service
        if self.express is not None:
            self.express.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan."""
        scope["app"] = self
        service = self.service
        if service is None:
            await self.edge(scope, receive, send)
            return
        scope["service"] = service
        with service.model as scope["model"]:  # a request is answered by the version it began on
            try:
                await self.edge(scope, receive, send)
            finally:
                del scope["model"]  # timers that were cancelled remember the scope for a while


def _routers(settings: Settings) -> list[APIRouter]:
    """Those that are not switched off."""
    off = [operations.counting] * (settings.metrics == "off") + [explorer.router] * (not settings.explorer)
    return [router for router in ROUTERS if router not in off]


def _open_paths(app: FastAPI, settings: Settings) -> set[str]:
    """What anybody may read besides the probes; what is switched off is not among it."""
    documents = {app.docs_url, app.redoc_url, app.openapi_url, app.swagger_ui_oauth2_redirect_url}
    return {
        *filter(None, documents if settings.docs else ()),
        *(explorer.open_paths() if settings.explorer else ()),
        *(["/metrics"] if settings.metrics == "open" else ()),
    }


def _put_at_the_edge(app: _Application, settings: Settings, tracers: TracerProvider | None) -> None:
    """Count, admit, time and tell of every request, outside everything else; to be called when all routes are there."""
    declared = (route.path for router in (app.router, *ROUTERS) for route in router.routes if hasattr(route, "path"))
    routes = list(dict.fromkeys(declared))
    app.state.metrics = Metrics(routes, settings.metrics_dir)
    innermost = Edge(
        Protected(functools.partial(FastAPI.__call__, app)),
        short_cuts=SHORT_CUTS,
        metrics=app.state.metrics,
        max_requests=settings.max_requests,
        timeout_s=settings.request_timeout_s,
    )
    open_paths = _open_paths(app, settings)
    edge = guarded(innermost, settings, app.state.metrics, open_paths)
    app.describe = functools.partial(
        permissions.describe,
        is_open=lambda path: is_open(path, open_paths),
        keys=bool(settings.all_keys),
        limited=settings.rate_limit is not None,
    )
    if settings.access_lines:
        edge = AccessLog(edge, frozenset(routes))
    if tracers:
        edge = tracing.Traced(edge, tracers.get_tracer(tracing.NAME, _version()), frozenset(routes))
    app.edge = edge
    # What stands around the edge wants to see every request.
    app.express = AtOnce(innermost) if edge is innermost else None


def _batchers(tracers: TracerProvider | None) -> Callable[..., Batcher]:
    return functools.partial(TracedBatcher, tracers.get_tracer(tracing.NAME, _version())) if tracers else Batcher


@contextmanager
def _draining(service: Service, drain_s: float) -> Iterator[None]:
    """While inside, SIGTERM first makes the service say that it is not ready, and stops the server `drain_s` later.

    The server's own handler closes the port at once, so that a balancer would learn of it by failed connections.
    """
    stop = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(stop):
        yield  # not under a server that handles the signal
        return
    loop = asyncio.get_running_loop()

    def drain(signum: int, frame: FrameType | None) -> None:
        service.draining = True
        if drain_s:
            loop.call_soon_threadsafe(loop.call_later, drain_s, stop, signum, frame)
        else:
            stop(signum, frame)

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)


def load(stored: StoredVersion, settings: Settings, open_engine: OpenEngine) -> ServedModel:
    """A stored version verified, loaded, tried and warm.

    Raises:
        StoreError: it is not what its manifest says.
        EngineError: the model does not do what its manifest says.
    """
    started = time.perf_counter()
    stored.verify()
    engine = open_engine(stored, settings)
    try:
        probe(engine)
        engine.warm_up()
    except BaseException:
        engine.close()
        raise
    picture = stored.report / "latent.png"
    log.info("version %d is ready after %.1f s", stored.version, time.perf_counter() - started)
    return ServedModel(
        stored.manifest,
        SpreadEngine(engine, settings.batch_threads) if settings.batch_threads > 1 else engine,
        latent_picture=picture.read_bytes() if picture.is_file() else None,
        latent_points=points.load(stored.report / "latents.npz"),
    )


def open_saved_models(stored: StoredVersion, settings: Settings) -> Engine:
    """The version's SavedModels on TensorFlow, which is imported here."""
    from app.savedmodel import SavedModelEngine

    return SavedModelEngine(stored, settings.intra_op_threads)


def _version() -> str:
    try:
        return metadata.version("digit-vae")
    except metadata.PackageNotFoundError:
        return "0"  # run from a checkout that is not installed
