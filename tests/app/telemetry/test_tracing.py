"""OpenTelemetry: a span per request, its children, and nothing of it unless configured."""

import logging
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id

from app.main import create_app
from app.telemetry import tracing
from tests.support.paths import ROOT

Z = {"z": [0.5, -0.5]}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def client(traced):
    return traced


def by_name(exporter, name):
    return [span for span in exporter.get_finished_spans() if span.name == name]


async def test_a_request_is_a_server_span_with_the_conventions_attributes(client, exporter):
    headers = {"user-agent": "curl/8", "x-request-id": "mine"}
    answer = await client.post("/generate?scale=2", json=Z, headers=headers)
    (span,) = by_name(exporter, "POST /generate")
    assert (span.kind, span.parent, span.status.status_code) == (SpanKind.SERVER, None, StatusCode.UNSET)
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "http.route": "/generate",
        "http.response.status_code": 200,
        "http.response.body.size": len(answer.content),
        "url.path": "/generate",
        "url.query": "scale=2",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "server.address": "service",
        "client.address": "192.0.2.7",
        "client.port": 5,
        "user_agent.original": "curl/8",
        "digit_vae.request_id": "mine",
        "digit_vae.model_version": 1,
    }


async def test_a_valid_traceparent_is_the_parent_and_an_invalid_one_none(client, exporter):
    await client.post("/generate", json=Z, headers={"traceparent": VALID, "tracestate": "vendor=1"})
    (span,) = by_name(exporter, "POST /generate")
    assert (span.parent.span_id, format_trace_id(span.context.trace_id)) == (int(SPAN, 16), TRACE)
    assert span.context.trace_state.get("vendor") == "1"
    for headers in ([("traceparent", VALID.upper())], [("traceparent", VALID), ("traceparent", VALID)]):
        exporter.clear()
        await client.get("/livez", headers=headers)
        (span,) = exporter.get_finished_spans()
        assert span.parent is None


@pytest.mark.parametrize("inline", [0, 64])
async def test_a_fault_marks_its_spans_and_a_mistake_of_the_callers_does_not(client, exporter, inline, caplog):
    client._transport.app.service.batcher.inline_rows = inline
    await client.post("/generate", json={"z": [666, 0]})
    (model,), (request,) = by_name(exporter, "model"), by_name(exporter, "POST /generate")
    assert model.status.status_code == request.status.status_code == StatusCode.ERROR
    assert model.events[0].name == "exception"
    assert request.attributes["error.type"] == "500"
    exporter.clear()
    await client.post("/generate", json={"z": [1]})
    (request,) = exporter.get_finished_spans()
    assert (request.attributes["http.response.status_code"], request.status.status_code) == (422, StatusCode.UNSET)


async def test_names_stay_few_whatever_is_asked(client, exporter):
    await client.get("/nowhere/at/all")
    await client.get("/v2/models/encoder/ready")
    await client.request("BREW", "/generate")
    first, second, third = exporter.get_finished_spans()
    assert (first.name, "http.route" in first.attributes) == ("GET", False)
    assert second.name == "GET /v2/models/{name}/ready"
    assert (third.name, third.attributes["http.request.method"]) == ("HTTP", "_OTHER")
    assert third.attributes["http.request.method_original"] == "BREW"


async def test_log_lines_name_the_trace_of_the_span(settings, engine, exporter, caplog):
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    changed = settings.model_copy(update={"access_log": True})
    app = create_app(changed, lambda stored, settings: engine, tracers)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        await client.get("/livez")
    (line,) = [each for each in caplog.records if each.name == "app.telemetry.access_log"]
    (span,) = exporter.get_finished_spans()
    assert line.args["trace_id"] == format_trace_id(span.context.trace_id)


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, []),
        ({"OTEL_SERVICE_NAME": "x"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"]),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ["console", "otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, []),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, []),
    ],
)
def test_the_standard_variables_say_where_traces_go(environment, names):
    assert tracing._exporters_named(environment) == names


def test_an_exporter_that_is_not_there_is_a_warning_and_no_trace(caplog):
    with caplog.at_level(logging.WARNING, "app.telemetry.tracing"):
        assert tracing.provider({"OTEL_TRACES_EXPORTER": "pigeon"}) is None
    assert "pigeon" in caplog.text


COUNT = """
import sys
from app.main import create_app
from app.settings import Settings
app = create_app(Settings())
print("Traced" in [layer.cls.__name__ for layer in app.layers], "opentelemetry.sdk.trace" in sys.modules)
"""


@pytest.mark.parametrize(("exporter_name", "found"), [("none", "False False"), ("console", "True True")])
def test_the_sdk_is_imported_only_where_it_is_configured(exporter_name, found):
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": exporter_name}
    done = subprocess.run(
        [sys.executable, "-c", COUNT], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == found


def test_without_the_sdk_the_service_says_so_and_goes_on():
    hidden = "import sys; sys.modules['opentelemetry.sdk'] = None\n" + COUNT
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", hidden], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False False"
    assert "digit-vae[otel]" in done.stderr


class Collector(HTTPServer):
    """Keeps what is sent to it."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Taking)
        self.taken: list[tuple[str, bytes]] = []


class Taking(BaseHTTPRequestHandler):
    def do_POST(self):
        assert isinstance(self.server, Collector)
        self.server.taken.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def test_spans_reach_a_collector_at_the_latest_when_the_service_ends(settings, engine, collector, monkeypatch):
    url = f"http://127.0.0.1:{collector.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    app = create_app(settings, lambda stored, settings: engine)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        await client.post("/generate", json=Z)
    ((path, body),) = collector.taken
    assert path == "/v1/traces"
    assert all(word in body for word in (b"digit-vae", b"POST /generate", b"queue", b"model"))
