"""What a request waited for the model, and what the model took, as spans below the request's."""

import asyncio
import threading

import pytest

from tests.app.telemetry.test_tracing import by_name

Z = {"z": [0.5, -0.5]}


@pytest.fixture
def client(traced):
    return traced


@pytest.mark.parametrize("path", ["/generate", "/generate?scale=2"])
async def test_the_model_call_of_a_lone_request_is_a_child(client, exporter, path):
    await client.post(path, json=Z)
    (request,), (model,) = by_name(exporter, "POST /generate"), by_name(exporter, "model")
    assert model.parent.span_id == request.context.span_id
    assert request.start_time <= model.start_time <= model.end_time <= request.end_time
    assert dict(model.attributes) == {"digit_vae.rows": 1, "digit_vae.batch.rows": 1, "digit_vae.batch.requests": 1}
    assert by_name(exporter, "queue") == []


async def test_requests_of_one_batch_have_a_queue_and_a_model_span_each(client, exporter, engine):
    engine.max_inline_batch = 0
    engine.gate = threading.Event()
    client._transport.app.service.batcher.inline_rows = 0  # in the thread, where the gate holds it
    asked = [asyncio.create_task(client.post("/generate", json=Z)) for _ in range(4)]
    await asyncio.sleep(0.1)
    engine.gate.set()
    await asyncio.gather(*asked)
    requests = {span.context.span_id: span for span in by_name(exporter, "POST /generate")}
    models, queues = by_name(exporter, "model"), by_name(exporter, "queue")
    assert {span.parent.span_id for span in models} == {span.parent.span_id for span in queues} == set(requests)
    assert sorted(span.attributes["digit_vae.batch.requests"] for span in models) == [1, 3, 3, 3]
    for queue in queues:
        (model,) = [span for span in models if span.parent.span_id == queue.parent.span_id]
        assert requests[queue.parent.span_id].start_time <= queue.start_time <= queue.end_time == model.start_time


async def test_a_request_longer_than_a_batch_has_a_span_for_each_call(client, exporter):
    client._transport.app.service.batcher.max_batch = 100
    await client.post("/generate", json={"sample": 250})
    assert [span.attributes["digit_vae.batch.rows"] for span in by_name(exporter, "model")] == [100, 100, 50]
