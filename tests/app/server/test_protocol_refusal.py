"""Requests over a real socket: refused before they have a task, where nothing else wants to see them; else answered."""

import asyncio
import json

import httpx
import pytest

from app.imaging.png import encode_png
from app.middleware.admission import Admission
from app.settings import Settings
from tests.support.fakes import FakeEngine, connected
from tests.support.live import BODY, GOOD, POST, bounded

ENCODE = b"POST /encode HTTP/1.1\r\nhost: service\r\ncontent-type: image/png\r\ncontent-length: %d\r\n\r\n%b"
NAMED = GOOD.replace(b"host:", b"x-request-id: mine\r\nhost:")


@pytest.fixture
def refused(monkeypatch):
    """The paths of requests that were refused without a task."""
    told: list[str] = []
    message = Admission.refusal_message

    def recording(self, path, headers):
        told.append(path)
        return message(self, path, headers)

    monkeypatch.setattr(Admission, "refusal_message", recording)
    return told


@pytest.fixture
async def full(settings):
    """A service that one request, whose body is yet to come, keeps busy."""
    async with bounded(settings, max_requests=1) as live:
        await (await live.connect()).send(GOOD[:-3])
        await asyncio.sleep(0.02)
        yield live


async def test_one_too_many_is_refused_in_the_same_words_with_and_without_a_task(full, refused):
    found = []
    for first, rest in ((NAMED[:-3], NAMED[-3:]), (NAMED, b"")):  # in pieces it gets a task
        caller = await full.connect()
        await caller.send(first)
        await asyncio.sleep(0.02)
        await caller.send(rest)
        found.append(await caller.answer())
    assert refused == ["/generate"]
    (status, fields, body), (with_task, _, _) = found[1], found[0]
    assert (status, fields["retry-after"], fields["x-request-id"]) == (503, "1", "mine")
    assert with_task == status
    assert json.loads(body)["request_id"] == "mine"
    assert json.loads(found[0][2]) == json.loads(body)
    missing = found[0][1].keys() - fields.keys()
    assert missing <= {"date", "server"}
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(f"http://127.0.0.1:{full.port}/metrics")).text
    assert "digit_vae_rejected_total 2" in metrics
    assert 'digit_vae_requests_total{route="/generate",status="503"} 2' in metrics


async def test_the_connection_of_a_refused_request_goes_on(full, refused):
    caller = await full.connect()
    await caller.send(GOOD + GOOD)
    assert [(await caller.answer())[0] for _ in range(2)] == [503, 503]
    await full.callers[0].send(GOOD[-3:])
    assert (await full.callers[0].answer())[0] == 200
    await caller.send(GOOD)
    assert (await caller.answer())[0] == 200
    assert refused == ["/generate"] * 2


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/v2/health/live"])
async def test_probes_are_never_refused(full, refused, path):
    caller = await full.connect()
    await caller.send(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode())
    assert (await caller.answer())[0] == 200
    assert not refused


async def test_the_protocols_are_refused_in_their_form(full, refused):
    caller = await full.connect()
    await caller.send(GOOD.replace(b"/generate", b"/v2/models/generator/infer"))
    status, fields, body = await caller.answer()
    assert (status, fields["content-type"], list(json.loads(body))) == (503, "application/json", ["error"])
    assert refused == ["/v2/models/generator/infer"]


@pytest.mark.parametrize("change", [(b"host:", b"connection: close\r\nhost:"), (b"HTTP/1.1", b"HTTP/1.0")])
async def test_who_does_not_keep_the_connection_is_refused_and_let_go(full, refused, change):
    caller = await full.connect()
    await caller.send(GOOD.replace(*change))
    assert (await caller.answer())[0] == 503
    assert await caller.ended()
    assert not refused


async def test_who_waits_for_a_word_before_the_body_is_refused_at_once(full, refused):
    caller = await full.connect()
    await caller.send(POST + b"expect: 100-continue\r\ncontent-length: 11\r\n\r\n")
    assert (await caller.answer())[0] == 503
    assert not refused


async def test_a_refused_connection_is_idle_afterwards_and_not_slow_with_a_head(settings):
    async with bounded(settings, max_requests=1, header_timeout_s=0.2, idle_timeout_s=1.2, request_timeout_s=9) as live:
        first = await live.connect()
        await first.send(GOOD[:-3])
        await asyncio.sleep(0.02)
        caller = await live.connect()
        for _ in range(2):
            await caller.send(GOOD)
            assert (await caller.answer())[0] == 503
            await asyncio.sleep(0.6)
        assert await caller.ended(within_s=2)


@pytest.mark.parametrize("change", [{"access_log": True}, {"rate_limit": "9/s"}, {"cors_origins": "https://a.example"}])
async def test_what_wants_to_see_every_request_does(store, refused, change):
    async with bounded(Settings(model_store=store, max_requests=1, **change)) as live:
        first, caller = await live.connect(), await live.connect()
        await first.send(GOOD[:-3])
        await asyncio.sleep(0.02)
        await caller.send(GOOD)
        assert (await caller.answer())[0] == 503
    assert not refused


async def test_an_answer_is_the_same_over_a_socket_and_without_one(settings, digit):
    png = encode_png(digit)
    async with connected(settings, FakeEngine()) as client:
        usual = [
            await client.post("/generate", content=BODY, headers={"content-type": "application/json"}),
            await client.post("/encode", content=png, headers={"content-type": "image/png"}),
        ]
    async with bounded(settings) as live:
        caller = await live.connect()
        for expected, request in zip(usual, (GOOD, ENCODE % (len(png), png)), strict=True):
            await caller.send(request)
            status, fields, content = await caller.answer()
            assert (status, content) == (expected.status_code, expected.content)
            assert fields.keys() - {"date", "server"} == expected.headers.keys()
            assert all(fields[name] == expected.headers[name] for name in ("content-type", "x-model-version"))


async def test_requests_in_one_packet_are_answered_in_order(settings):
    bad = POST + b'content-length: 7\r\n\r\n{"z":1}'
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(GOOD + bad + GOOD + GOOD)
        assert [(await caller.answer())[0] for _ in range(4)] == [200, 422, 200, 200]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (POST + b'content-length: 7\r\n\r\n{"z":1}', 422),
        (POST + b"content-length: 0\r\n\r\n", 400),
        (POST + b'content-length: 11\r\n\r\n{"z":[0,0]]', 400),
        (POST + b'content-length: 13\r\n\r\n{"z":[666,0]}', 500),
        (GOOD.replace(b"POST", b"PUT"), 405),
        (GOOD.replace(b"application/json", b"text/plain"), 415),
        (GOOD.replace(b"host:", b"accept: text/html\r\nhost:"), 406),
        (ENCODE % (3, b"abc"), 422),
    ],
    ids=["no point", "empty", "no JSON", "failing model", "method", "type", "accept", "no picture"],
)
async def test_after_an_error_the_connection_goes_on(settings, request_, status):
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(request_)
        found, fields, body = await caller.answer()
        assert (found, fields["content-type"]) == (status, "application/problem+json")
        assert json.loads(body)["status"] == status
        await caller.send(GOOD)
        assert (await caller.answer())[0] == 200


async def test_many_at_once_are_batched_and_get_their_own(settings):
    async with bounded(settings) as live:
        callers = [await live.connect() for _ in range(32)]
        for n, caller in enumerate(callers):
            body = b'{"z":[0.%02d,0]}' % n
            caller.writer.write(POST + b"accept: image/png\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        found = [await caller.answer() for caller in callers]
        assert {status for status, _, _ in found} == {200}
    engine = FakeEngine()
    async with connected(settings, engine) as client:
        for n, (_, _, content) in enumerate(found):
            assert (await client.post("/generate", json={"z": [n / 100, 0]})).content == content
