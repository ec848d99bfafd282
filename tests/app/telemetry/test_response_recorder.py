from __future__ import annotations

from typing import Any

import pytest

from app.telemetry.response_recorder import TRACE, ResponseRecorder, trace_id_of

IN_HEADER = "0af7651916cd43dd8448eb211c80319c"


async def answered(scope: dict[str, Any], *messages: dict[str, Any]) -> tuple[ResponseRecorder, list[Any]]:
    """What was noted of an answer, and what went on to the caller."""
    sent: list[Any] = []

    async def send(message):
        sent.append(message)

    recorder = ResponseRecorder({"path": "/generate", "headers": [], **scope}, send, ["/generate", "/v2/{name}"])
    for message in messages:
        await recorder.send(message)
    return recorder, sent


async def test_an_answer_is_noted_and_passed_on_unchanged():
    start = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b"), (b"x-model-version", b"12")]}
    parts = [{"type": "http.response.body", "body": b"abc", "more_body": True}, {"type": "http.response.body"}]
    recorder, sent = await answered(
        {"client": ("192.0.2.7", 5)}, start, *parts, {"type": "http.response.body", "body": b"de"}
    )
    assert sent[:3] == [start, *parts]
    assert (recorder.status, recorder.body_bytes, recorder.model_version) == (200, 5, 12)
    assert recorder.client == "192.0.2.7"
    assert 0 <= recorder.seconds < 5


async def test_of_a_caller_that_hung_up_before_an_answer_nothing_is_invented():
    recorder, sent = await answered({})
    assert (recorder.status, recorder.body_bytes, recorder.model_version, recorder.client) == (None, 0, None, None)
    assert sent == []


class Declared:
    path = "/v2/{name}"


@pytest.mark.parametrize(
    ("scope", "route"),
    [
        ({}, "/generate"),
        ({"path": "/v2/encoder", "route": Declared()}, "/v2/{name}"),
        ({"path": "/v2/encoder"}, None),
        ({"path": "/nowhere"}, None),
    ],
)
async def test_a_route_is_the_declared_path_and_nothing_else(scope, route):
    recorder, _ = await answered(scope)
    assert recorder.route == route


def test_the_trace_of_a_request_is_its_spans_else_the_callers():
    headers = [(b"traceparent", f"00-{IN_HEADER}-b7ad6b7169203331-01".encode())]
    assert trace_id_of({"headers": headers}) == IN_HEADER
    assert trace_id_of({"headers": headers, TRACE: "1" * 32}) == "1" * 32
    assert trace_id_of({"headers": []}) is None
