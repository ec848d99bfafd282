from typing import Any

import pytest

from app.telemetry.response_recorder import RESPONSE, RecordedResponse, ResponseRecorder, declared_path, response_of

DEFAULTS = ((b"a", b"default"), (b"d", b"e"))


async def recorded(*messages: dict[str, Any], method: str = "GET") -> tuple[RecordedResponse, list[Any]]:
    """The record of a response, and what went on to the caller."""
    sent: list[Any] = []

    async def send(message):
        sent.append(message)

    async def app(scope, receive, send):
        records.append(response_of(scope))
        records[0].added.append((b"x-request-id", b"me"))
        for message in messages:
            await send(message)

    records: list[RecordedResponse] = []
    scope = {"type": "http", "method": method, "path": "/generate", "headers": []}
    await ResponseRecorder(app, shown=DEFAULTS, sent=DEFAULTS[1:])(scope, None, send)
    assert RESPONSE not in scope
    return records[0], sent


async def test_a_response_is_recorded_and_passed_on_with_the_fields_that_it_lacks():
    start = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b"), (b"x-model-version", b"12")]}
    parts = [{"type": "http.response.body", "body": b"abc", "more_body": True}, {"type": "http.response.body"}]
    record, sent = await recorded(start, *parts, {"type": "http.response.body", "body": b"de"})
    fields = [(b"a", b"b"), (b"x-model-version", b"12"), (b"x-request-id", b"me"), (b"d", b"e")]
    assert sent[:3] == [{**start, "headers": fields}, *parts]
    assert start["headers"] == fields[:2]  # the list may belong to an answer that is kept
    assert (record.status, record.body_bytes, record.model_version) == (200, 5, 12)
    assert 0 <= record.seconds < 5


async def test_what_a_post_is_answered_has_fields_of_its_own():
    _, sent = await recorded({"type": "http.response.start", "status": 200}, method="POST")
    assert sent[0]["headers"] == [(b"d", b"e"), (b"x-request-id", b"me")]


async def test_of_a_caller_that_hung_up_before_a_response_nothing_is_invented():
    record, sent = await recorded()
    assert (record.status, record.body_bytes, record.model_version) == (None, 0, None)
    assert sent == []


class Declared:
    path = "/v2/{name}"


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"path": "/generate"}, "/generate"),
        ({"path": "/v2/encoder", "route": Declared()}, "/v2/{name}"),
        ({"path": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_path_is_the_declared_one_where_a_route_was_found(scope, path):
    assert declared_path(scope) == path
