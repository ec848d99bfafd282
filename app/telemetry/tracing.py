"""OpenTelemetry traces: a span per request, outside of all other middleware. Installed only if configured.

The standard variables configure it (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER, ...); the SDK reads most of them
itself, and its packages are the extra `otel`. Names follow the semantic conventions for HTTP servers,
https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send

from app.telemetry.request_id import id_of
from app.telemetry.response_recorder import declared_path, response_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.util.types import AttributeValue

NAME = "digit_vae"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
CARRIED = {b"traceparent", b"tracestate"}
TRACE = "digit_vae.trace_id"  # where a request's scope has its trace id, if it has a span
PROPAGATOR = TraceContextTextMapPropagator()
CLOSE_S = 3.0  # a collector that is away must not hold up the end of the service for longer

log = logging.getLogger(__name__)


def provider(environment: Mapping[str, str]) -> TracerProvider | None:
    """Return the provider that the OTEL_ variables configure; None if there is none or, with a warning, no package."""
    names = _exporters_named(environment)
    if not names:
        return None
    try:
        return _provider(environment, names)
    except (ImportError, LookupError) as exc:
        log.warning("no traces: %s; the packages are in the extra digit-vae[otel]", exc)
        return None


def _exporters_named(environment: Mapping[str, str]) -> list[str]:
    """Return the exporters' names in entry points; OTEL_EXPORTER_OTLP_PROTOCOL selects one of the two for "otlp"."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    wanted = environment.get("OTEL_TRACES_EXPORTER", "") or ("otlp" if any(map(environment.get, ENDPOINTS)) else "none")
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    otlp = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    names = [name.strip() for name in wanted.split(",")]
    return [otlp if name == "otlp" else name for name in names if name not in ("", "none")]


def _provider(environment: Mapping[str, str], names: list[str]) -> TracerProvider:
    """Return a provider that sends to every exporter named.

    Raises:
        ImportError: the SDK is not installed.
        LookupError: an exporter is not installed.
    """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporters = [_exporter(name) for name in names]
    service = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": "digit-vae"}
    made = TracerProvider(resource=Resource.create(service), shutdown_on_exit=False)
    for exporter in exporters:
        made.add_span_processor(BatchSpanProcessor(exporter))
    return made


def _exporter(name: str) -> SpanExporter:
    for found in metadata.entry_points(group="opentelemetry_traces_exporter", name=name):
        exporter: SpanExporter = found.load()()
        return exporter
    raise LookupError(f"there is no trace exporter {name!r}")


def close(tracers: TracerProvider) -> None:
    """Send the remaining spans, then stop the provider; block for at most CLOSE_S seconds."""
    closing = threading.Thread(target=tracers.shutdown, daemon=True)  # the SDK's own timeouts are longer
    closing.start()
    closing.join(CLOSE_S)


class Traced:
    """ASGI middleware that makes a server span per request, a child of the span in the request's `traceparent`.

    Args:
        app: the application that answers.
        tracer: creates the spans.
        routes: the declared paths.
    """

    def __init__(self, app: ASGIApp, tracer: trace.Tracer, routes: Collection[str]) -> None:
        self._app = app
        self._tracer = tracer
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request within a server span."""
        span = self._span(scope)
        scope[TRACE] = trace.format_trace_id(span.get_span_context().trace_id)
        with trace.use_span(span, end_on_exit=True):
            try:
                await self._app(scope, receive, send)
            finally:
                self._describe(span, scope)

    def _span(self, scope: Scope) -> trace.Span:
        method = scope["method"] if scope["method"] in METHODS else "HTTP"
        return self._tracer.start_span(method, _callers_context(scope), trace.SpanKind.SERVER, _of_request(scope))

    def _describe(self, span: trace.Span, scope: Scope) -> None:
        """Set the attributes known once there is a response."""
        response, route = response_of(scope), declared_path(scope)
        told: dict[str, AttributeValue | None] = {
            "http.route": route if route in self._routes else None,
            "http.response.status_code": response.status,
            "http.response.body.size": response.body_bytes,
            "digit_vae.request_id": id_of(scope),
            "digit_vae.model_version": response.model_version,
        }
        span.set_attributes({name: value for name, value in told.items() if value is not None})
        if route in self._routes and scope["method"] in METHODS:
            span.update_name(f"{scope['method']} {route}")
        if response.status is not None and response.status >= 500:
            span.set_attribute("error.type", str(response.status))
            span.set_status(trace.StatusCode.ERROR)


def trace_id_of(scope: Scope) -> str | None:
    """Return the trace id of a request: its span's, else that in its traceparent; None if it has neither."""
    if TRACE in scope:
        return str(scope[TRACE])
    found = trace.get_current_span(_callers_context(scope)).get_span_context().trace_id
    return trace.format_trace_id(found) if found else None


def _callers_context(scope: Scope) -> Context:
    """Return the context of the caller's span, from the headers of W3C Trace Context; an empty one if there is none."""
    carrier: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        if name in CARRIED:
            carrier.setdefault(name.decode(), []).append(value.decode("latin-1"))
    return PROPAGATOR.extract(carrier if len(carrier.get("traceparent", ())) == 1 else {}, Context())


def _of_request(scope: Scope) -> dict[str, AttributeValue]:
    """Return the attributes known before there is a response, which samplers see."""
    method = scope["method"]
    told: dict[str, AttributeValue] = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "url.path": scope["path"],
        "url.scheme": scope.get("scheme", "http"),
        "network.protocol.version": scope.get("http_version", "1.1"),
    }
    if method not in METHODS:
        told["http.request.method_original"] = method
    if scope["query_string"]:
        told["url.query"] = scope["query_string"].decode("latin-1")
    for address, end in (("server", scope.get("server")), ("client", scope.get("client"))):
        if end and end[0]:
            told[f"{address}.address"] = end[0]
            if end[1]:
                told[f"{address}.port"] = end[1]
    for name, value in scope["headers"]:
        if name == b"user-agent":
            told["user_agent.original"] = value.decode("latin-1")
    return told
