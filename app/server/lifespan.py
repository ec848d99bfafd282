"""Startup and shutdown: the service, with its reloader and its watchdog."""

from __future__ import annotations

import asyncio
import functools
import gc
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING

from app.inference.batcher import Batcher
from app.inference.service import Service
from app.models import native_log
from app.models.loader import OpenEngine, load_version, open_saved_models, release_memory
from app.models.reloader import Reloader
from app.models.store import ModelStore
from app.server.application import Application
from app.server.exit import exit_for_restart
from app.server.signals import taken_elsewhere
from app.server.watchdog import Watchdog
from app.server.workers import end_with_supervisor
from app.settings import Settings
from app.telemetry import tracing
from app.telemetry.batch_tracing import TracedBatcher

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


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
        app.has(service)
        app.state.metrics.serves(service.model.version)
        _settle()
        reloader = Reloader(store, settings.model_version, open_version, service, app.state.metrics)
        exit_process = functools.partial(exit_for_restart, show_threads=True)
        around.enter_context(
            Watchdog(settings.model_timeout_s, service.running_batch, service.on_model_hang, exit_process)
        )
        try:
            with _draining(service, settings.drain_s):
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


def _batchers(tracers: TracerProvider | None, version: str) -> Callable[..., Batcher]:
    return functools.partial(TracedBatcher, tracers.get_tracer(tracing.NAME, version)) if tracers else Batcher


@contextmanager
def _draining(service: Service, drain_s: float) -> Iterator[None]:
    """Handle SIGTERM during the block: report the service as not ready, and stop the server `drain_s` seconds later.

    The server's own handler closes the port at once, so that a load balancer would notice only by failed connections.
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
