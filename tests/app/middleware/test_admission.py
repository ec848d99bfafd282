"""Admission, deadlines and counting: what stands around every request."""

import asyncio
import signal
import threading
from typing import Any

import httpx
import pytest

from app.errors import Overloaded
from app.main import create_app
from app.middleware.admission import MIN_LIMIT, Admission, AdmissionLimit
from app.middleware.error_responses import ErrorResponses
from app.telemetry.metrics import Metrics
from app.telemetry.response_recorder import ResponseRecorder
from tests.support.fakes import FakeEngine

Z = {"z": [0.5, -0.5]}
INPUT = {"name": "z", "shape": [1, 2], "datatype": "FP32", "data": [0.5, -0.5]}


async def application(settings, engine, **changes):
    app = create_app(settings.model_copy(update=changes), lambda stored, settings: engine)
    return app, httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://service"
    )


@pytest.fixture
def held(engine):
    """The engine, its calls waiting at a gate."""
    engine.gate = threading.Event()
    yield engine
    engine.gate.set()


async def counts(client):
    text = (await client.get("/metrics")).text
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


async def test_beyond_the_bound_requests_are_refused_and_probes_answered(settings, held):
    app, client = await application(settings, held, max_requests=2)
    async with app.router.lifespan_context(app), client:
        waiting = [asyncio.create_task(client.post("/generate", json=Z)) for _ in range(2)]
        await asyncio.sleep(0.05)
        refused = await client.post("/generate", json=Z)
        assert refused.status_code == 503
        assert refused.json()["code"] == "overloaded"
        assert int(refused.headers["retry-after"]) >= 1
        for probe in ("/livez", "/readyz", "/metrics"):
            assert (await client.get(probe)).status_code == 200
        held.gate.set()
        assert [(await task).status_code for task in waiting] == [200, 200]
        assert (await client.post("/generate", json=Z)).status_code == 200
        assert (await counts(client))["digit_vae_rejected_total"] == "1"


@pytest.mark.parametrize("path", ["/generate", "/generate?scale=2", "/manifold.png"])
async def test_every_request_has_a_deadline(settings, held, path):
    app, client = await application(settings, held, request_timeout_s=0.1)
    async with app.router.lifespan_context(app), client:
        method = "GET" if path.endswith("png") else "POST"
        late = await client.request(method, path, **({"json": Z} if method == "POST" else {}))
        assert (late.status_code, late.json()["code"]) == (503, "deadline-exceeded")
        assert late.headers["retry-after"]
        held.gate.set()
        assert (await client.post("/generate", json=Z)).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v2/models/generator/infer",
            {"inputs": [{"name": "z", "shape": [1, 2], "datatype": "FP32", "data": [0, 0]}]},
        ),
        ("/v1/models/generator:predict", {"instances": [[0, 0]]}),
    ],
)
async def test_the_protocols_are_refused_in_their_form_and_their_probes_answered(settings, held, path, body):
    app, client = await application(settings, held, max_requests=1, request_timeout_s=0.3)
    async with app.router.lifespan_context(app), client:
        waiting = asyncio.create_task(client.post(path, json=body))
        while app.admission.has_room():
            await asyncio.sleep(0.01)
        refused = await client.post(path, json=body)
        for probe in ("/v2/health/live", "/v2/health/ready", "/v2/models/encoder/ready"):
            assert (await client.get(probe)).status_code == 200
        for answer, words in ((refused, "under way"), (await waiting, "not answered in")):
            assert (answer.status_code, set(answer.json())) == (503, {"error"})
            assert words in answer.json()["error"]
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["retry-after"]
        held.gate.set()


async def test_a_caller_that_hung_up_while_waiting_costs_no_model_call(settings, held):
    app, client = await application(settings, held)
    body = b'{"z": [0, 0]}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    scope = {"type": "http", "method": "POST", "path": "/generate", "query_string": b"", "headers": headers}
    messages = [{"type": "http.request", "body": body}]

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    sent: list[Any] = []
    async with app.router.lifespan_context(app), client:
        first = asyncio.create_task(client.post("/generate", json=Z))
        await asyncio.sleep(0.02)
        leaver = asyncio.create_task(app(scope, receive, send))
        await asyncio.sleep(0.1)
        held.gate.set()
        assert (await first).status_code == 200
        await leaver
        assert sent[0]["status"] == 499
        assert held.batches == [1]
        assert (await counts(client))["digit_vae_abandoned_total"] == "1"


async def test_requests_are_counted(client):
    await client.post("/generate", json=Z)
    await client.post("/generate", json={"z": [1]})
    await client.get("/nowhere")
    found = await counts(client)
    assert found['digit_vae_requests_total{route="/generate",status="200"}'] == "1"
    assert found['digit_vae_requests_total{route="/generate",status="422"}'] == "1"
    assert found['digit_vae_requests_total{route="other",status="404"}'] == "1"
    assert found["digit_vae_model_version"] == "1"
    assert found["digit_vae_batch_rows_count"] == "1"


async def test_told_to_stop_it_is_not_ready_first_and_stops_later(settings):
    stopped = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda signum, frame: stopped.set())
    try:
        app, client = await application(settings, FakeEngine(), drain_s=0.2)
        async with app.router.lifespan_context(app), client:
            signal.raise_signal(signal.SIGTERM)
            refused = await client.get("/readyz")
            assert (refused.status_code, refused.json()["code"]) == (503, "shutting-down")
            assert (await client.get("/livez")).status_code == 200
            assert (await client.post("/generate", json=Z)).status_code == 200
            assert not stopped.is_set()
            await asyncio.sleep(0.3)
            assert stopped.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_manifold_kept_is_answered_as_it_was(client):
    first, again = [await client.get("/manifold.png?n=3", headers={"x-request-id": "the same"}) for _ in range(2)]
    assert (first.status_code, first.content, {**first.headers}) == (200, again.content, {**again.headers})
    unchanged = await client.get("/manifold.png?n=3", headers={"if-none-match": first.headers["etag"]})
    assert unchanged.status_code == 304
    assert (await client.get("/manifold.png?n=3", headers={"accept": "text/html"})).status_code == 406
    assert (await client.get("/manifold.png?n=4")).content != first.content
    assert (await client.head("/manifold.png?n=3")).content == b""


@pytest.mark.parametrize("path", ["/generate", "/generate?scale=2"])
async def test_a_fault_of_ours_is_a_problem_without_its_details(settings, engine, monkeypatch, caplog, path):
    app, client = await application(settings, engine)
    async with app.router.lifespan_context(app), client:

        async def fail(*_):
            raise RuntimeError("the reason is /secret")

        monkeypatch.setattr(app.service, "generate", fail)
        answer = await client.post(path, json=Z)
        assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
        assert "secret" not in answer.text
        assert (await counts(client))['digit_vae_requests_total{route="/generate",status="500"}'] == "1"


async def asked(application: Any, path: str = "/generate") -> list[Any]:
    """The messages that a request is answered with, inside the layers that record and that render errors."""
    messages: list[Any] = []

    async def send(message):
        messages.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    outermost = ResponseRecorder(ErrorResponses(application))
    await outermost({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
    return messages


def answering(then: asyncio.Event):
    """An application that starts a response, waits for `then` and ends it; at /bad it has no room."""

    async def app(scope, receive, send):
        if scope["path"] == "/bad":
            raise Overloaded("The queue is full.")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await then.wait()
        await send({"type": "http.response.body", "body": b""})

    return app


async def test_a_response_that_has_begun_is_not_begun_again_at_the_deadline():
    admission = Admission(Metrics(["/generate"]), max_requests=4, timeout_s=0.05)
    sent = await asked(AdmissionLimit(answering(asyncio.Event()), admission))
    assert [message["type"] for message in sent] == ["http.response.start"]  # and the server hangs up


async def test_a_refusal_from_inside_never_raises_the_bound():
    gate = asyncio.Event()
    limit = AdmissionLimit(answering(gate), Admission(Metrics([]), max_requests=2, timeout_s=5))
    assert (await asked(limit, "/bad"))[0]["status"] == 503
    under_way = [asyncio.create_task(asked(limit)) for _ in range(2)]
    await asyncio.sleep(0.01)
    refused = asyncio.create_task(asked(limit))
    await asyncio.sleep(0.01)
    gate.set()
    assert (await refused)[0]["status"] == 503
    assert [(await task)[0]["status"] for task in under_way] == [200, 200]


async def test_the_limit_falls_to_what_is_under_way_and_rises_again_with_what_is_answered():
    gate = asyncio.Event()
    admission = Admission(Metrics([]), max_requests=100, timeout_s=5)
    limit = AdmissionLimit(answering(gate), admission)
    under_way = [asyncio.create_task(asked(limit)) for _ in range(MIN_LIMIT)]
    await asyncio.sleep(0.01)
    assert admission.has_room()
    await asked(limit, "/bad")
    assert not admission.has_room()
    gate.set()
    await asyncio.gather(*under_way)
    for _ in range(10):
        await asked(limit)
    gate.clear()
    under_way = [asyncio.create_task(asked(limit)) for _ in range(MIN_LIMIT + 1)]
    await asyncio.sleep(0.01)
    gate.set()
    assert {(await task)[0]["status"] for task in under_way} == {200}
