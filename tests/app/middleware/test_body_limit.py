import asyncio
import json
from typing import Any

import pytest

from app.middleware.body_limit import WHOLE_BODY, BodyLimit
from tests.app.api.test_problems import PNG, check_problem
from tests.app.middleware.test_admission import application


async def test_a_body_without_a_length_is_bounded_too(client):
    async def endless():
        for _ in range(4000):
            yield b"x" * 1000

    response = await client.post("/encode", content=endless(), headers=PNG)
    check_problem(response, 413, "body-too-large", "1,048,576")


@pytest.mark.parametrize("path", ["/generate", "/generate?scale=2", "/v2/models/generator/infer"])
@pytest.mark.parametrize("bound", ["request_timeout_s", "body_timeout_s"])
@pytest.mark.parametrize("begun", [b"", b'{"z":'])
async def test_a_body_that_does_not_come_is_not_waited_for(settings, engine, path, bound, begun):
    app, client = await application(settings, engine, **{bound: 0.1})

    async def stuck():
        if begun:
            yield begun
        await asyncio.sleep(5)
        yield b"[0,0]}"

    async with app.router.lifespan_context(app), client:
        headers = {"content-type": "application/json", "content-length": "12"}
        late = await client.post(path, content=stuck(), headers=headers)
        assert (late.status_code, late.headers["connection"]) == (408, "close")
        assert "did not come in 0.1 s" in late.text
        assert late.json().get("code", "body-timeout") == "body-timeout"


async def test_a_body_that_comes_slowly_but_in_time_is_read(settings, engine):
    app, client = await application(settings, engine, body_timeout_s=2)

    async def slow():
        for byte in b'{"z":[0,0]}':
            await asyncio.sleep(0.005)
            yield bytes([byte])

    async with app.router.lifespan_context(app), client:
        for path in ("/generate", "/generate?scale=2"):
            headers = {"content-type": "application/json", "content-length": "11"}
            assert (await client.post(path, content=slow(), headers=headers)).status_code == 200


def sending(*parts: bytes):
    """What a server hands on of a body in these parts, and then waits; a request is answered once it is read."""
    messages = [{"type": "http.request", "body": part, "more_body": i + 1 < len(parts)} for i, part in enumerate(parts)]

    async def receive():
        if not messages:
            await asyncio.sleep(60)
        return messages.pop(0)

    return receive, messages


async def whole(scope, receive, send):
    """An application that reads its body and hands it back."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(
    ("parts", "declared", "status"),
    [
        ((b"12", b"345"), b"5", 200),
        ((b"12", b"345"), b"", 200),
        ((b"12345",), b"6", 413),
        ((b"12", b"345", b"6"), b"", 413),
        ((b"1", b"2" * 1000, b"3" * 1000), b"2001", 413),
        ((b"12", b"345"), b"\xb2", 200),  # no number: what comes is counted
    ],
)
async def test_a_body_is_bounded_by_what_is_declared_and_by_what_comes_and_read_to_its_end(parts, declared, status):
    receive, left = sending(*parts)
    sent: list[Any] = []

    async def send(message):
        sent.append(message)

    headers = [(b"content-length", declared)] if declared else []
    await BodyLimit(whole, 5, 1)({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send)
    assert sent[0]["status"] == status
    content = b"".join(message.get("body", b"") for message in sent[1:])
    assert content == b"12345" if status == 200 else json.loads(content)["code"] == "body-too-large"
    assert not sent[-1].get("more_body", False)
    assert left == []  # a refused body is read away behind the refusal


async def test_a_refused_body_that_comes_slowly_is_read_away_for_longer_than_it_might_have_come():
    messages = [(0, b"12345678", True), (0.15, b"9", False)]

    async def receive():
        seconds, body, more = messages.pop(0)
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": body, "more_body": more}

    sent: list[Any] = []

    async def send(message):
        sent.append(message)

    await BodyLimit(whole, 5, 0.05)({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send)
    assert (sent[0]["status"], messages) == (413, [])
    assert not sent[-1].get("more_body", False)


@pytest.mark.parametrize(("length", "limited"), [(5, False), (6, True)])
async def test_a_body_that_is_there_already_is_handed_on_as_it_is_unless_it_is_too_large(length, limited):
    handed: list[Any] = []

    async def app(scope, receive, send):
        handed.append(receive)

    async def receive():
        return {"type": "http.request"}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], WHOLE_BODY: length}
    await BodyLimit(app, 5, 1)(scope, receive, None)
    assert (handed[0] is not receive) == limited
