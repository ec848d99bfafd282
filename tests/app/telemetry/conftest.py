import logging

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.main import create_app
from app.telemetry import logs

NAMES = ("app", "app.telemetry.access_log", *logs.UVICORNS)


@pytest.fixture
def loggers_as_they_were():
    """Handlers and levels are put back when a test has ended."""
    kept = [(log, log.handlers[:], log.level, log.propagate) for log in map(logging.getLogger, NAMES)]
    yield
    logging.captureWarnings(False)
    root = logging.getLogger()
    root.handlers[:] = [each for each in root.handlers if not isinstance(each.formatter, logs.JsonFormatter)]
    for log, handlers, level, propagate in kept:
        log.handlers[:] = handlers
        log.setLevel(level)
        log.propagate = propagate


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
async def traced(settings, engine, exporter):
    """A traced service in this process; it takes small batches on the loop."""
    engine.max_inline_batch = 64
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    app = create_app(settings, lambda stored, settings: engine, tracers)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.7", 5))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client
