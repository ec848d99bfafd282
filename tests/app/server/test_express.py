from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from app.imaging.png import encode_png
from app.server.at_once import PLAIN, AtOnce
from app.settings import Settings
from tests.support.fakes import FakeEngine, connected
from tests.support.live import BODY, GOOD, POST, bounded

ENCODE = b"POST /encode HTTP/1.1\r\nhost: service\r\ncontent-type: image/png\r\ncontent-length: %d\r\n\r\n%b"


@pytest.fixture
def answers(monkeypatch):
    """What was answered at once: True, or not: False; a request each that could have been."""
    told = []
    answer = AtOnce.answer

    def noting(self, scope, body):
        found = answer(self, scope, body)
        told.append(found is not None)
        return found

    monkeypatch.setattr(AtOnce, "answer", noting)
    monkeypatch.setattr(FakeEngine, "max_inline_batch", 256)
    return told


async def test_it_is_answered_as_on_the_usual_way(settings, answers, digit):
    png = encode_png(digit)
    async with connected(settings, FakeEngine()) as client:  # no server asks
        usual = [
            await client.post("/generate", content=BODY, headers={"content-type": "application/json"}),
            await client.post("/encode", content=png, headers={"content-type": "image/png"}),
        ]
    assert not answers
    async with bounded(settings) as live:
        caller = await live.connect()
        for expected, request in zip(usual, (GOOD, ENCODE % (len(png), png)), strict=True):
            await caller.send(request)
            status, fields, content = await caller.answer()
            assert (status, content) == (expected.status_code, expected.content)
            assert fields.keys() - {"date", "server"} == expected.headers.keys()
            assert all(fields[name] == expected.headers[name] for name in ("content-type", "x-model-version"))
    assert answers == [True, True]


async def test_an_answer_is_counted_and_carries_the_callers_id(settings, answers):
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(GOOD.replace(b"host:", b"x-request-id: mine\r\nhost:"))
        assert (await caller.answer())[1]["x-request-id"] == "mine"
        async with httpx.AsyncClient() as client:
            metrics = (await client.get(f"http://127.0.0.1:{live.port}/metrics")).text
        assert 'digit_vae_requests_total{route="/generate",status="200"} 1' in metrics
        assert "digit_vae_batch_rows_count 1" in metrics
    assert answers == [True]


async def test_a_request_in_pieces_takes_the_usual_way(settings, answers):
    async with bounded(settings) as live:
        caller = await live.connect()
        for cut in (20, len(GOOD) - len(BODY), len(GOOD) - 3):
            await caller.send(GOOD[:cut])
            await asyncio.sleep(0.02)
            await caller.send(GOOD[cut:])
            assert (await caller.answer())[0] == 200
    assert answers == [True]  # the first: its head was whole only with its body


async def test_requests_in_one_packet_are_answered_in_order(settings, answers):
    bad = POST + b'content-length: 7\r\n\r\n{"z":1}'
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(GOOD + bad + GOOD + GOOD)
        assert [(await caller.answer())[0] for _ in range(4)] == [200, 422, 200, 200]
    assert answers[0]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (POST + b'content-length: 7\r\n\r\n{"z":1}', 422),
        (POST + b"content-length: 0\r\n\r\n", 400),
        (POST + b'content-length: 11\r\n\r\n{"z":[0,0]]', 400),
        (GOOD.replace(b"POST", b"PUT"), 405),
        (GOOD.replace(b"application/json", b"text/plain"), 415),
        (GOOD.replace(b"host:", b"accept: text/html\r\nhost:"), 406),
        (ENCODE % (3, b"abc"), 422),
    ],
    ids=["no point", "empty", "no JSON", "method", "type", "accept", "no picture"],
)
async def test_what_is_refused_is_told_as_ever_and_the_connection_goes_on(settings, answers, request_, status):
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(request_)
        found, fields, body = await caller.answer()
        assert (found, fields["content-type"]) == (status, "application/problem+json")
        assert json.loads(body)["status"] == status
        await caller.send(GOOD)
        assert (await caller.answer())[0] == 200
    assert answers == [False, True]


async def test_a_failing_model_is_told_as_ever(settings, answers):
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(POST + b'content-length: 13\r\n\r\n{"z":[666,0]}')
        assert (await caller.answer())[0] == 500
    assert answers == [False]


async def test_who_does_not_keep_the_connection_is_answered_and_let_go(settings, answers):
    async with bounded(settings) as live:
        for request in (GOOD.replace(b"host:", b"connection: close\r\nhost:"), GOOD.replace(b"1.1", b"1.0")):
            caller = await live.connect()
            await caller.send(request)
            assert (await caller.answer())[0] == 200
            assert await caller.ended()
    assert not answers


async def test_it_is_idle_afterwards_and_not_slow_with_a_head(settings, answers):
    async with bounded(settings, header_timeout_s=0.2, idle_timeout_s=1.2) as live:
        caller = await live.connect()
        for _ in range(2):
            await caller.send(GOOD)
            assert (await caller.answer())[0] == 200
            await asyncio.sleep(0.6)
        assert await caller.ended(within_s=2)
    assert answers == [True, True]


async def test_one_too_many_is_refused_as_ever(settings, answers):
    async with bounded(settings, max_requests=1) as live:
        reading = await live.connect()
        await reading.send(GOOD[:-3])
        await asyncio.sleep(0.02)
        found = []
        for request in (GOOD.replace(b"/generate", b"/generate?scale=1"), GOOD):  # the first takes the usual way
            caller = await live.connect()
            await caller.send(request.replace(b"host:", b"x-request-id: mine\r\nhost:"))
            found.append(await caller.answer())
        assert found[0] == found[1]
        assert found[1][0] == 503
        assert found[1][1]["retry-after"] == "1"
        async with httpx.AsyncClient() as client:
            metrics = (await client.get(f"http://127.0.0.1:{live.port}/metrics")).text
        assert "digit_vae_rejected_total 2" in metrics
        assert 'digit_vae_requests_total{route="/generate",status="503"} 2' in metrics
        await reading.send(GOOD[-3:])
        assert (await reading.answer())[0] == 200
    assert answers == [True]


async def test_many_at_once_are_batched_and_get_their_own(settings, answers):
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


@pytest.mark.parametrize("change", [{}, {"access_log": True}, {"rate_limit": "5/s"}])
async def test_what_wants_to_see_every_request_does(store, answers, change):
    async with bounded(Settings(model_store=store, **change)) as live:
        caller = await live.connect()
        await caller.send(GOOD)
        assert (await caller.answer())[0] == 200
    assert answers == [True] * (not change)


async def test_what_pauses_begins_anew(settings, answers, monkeypatch):
    """Should something have to wait after all, nothing of the attempt is left."""

    async def waits(service, model, body, gone):
        await asyncio.get_running_loop().create_future()

    monkeypatch.setitem(PLAIN, b"/generate", (PLAIN[b"/generate"][0], waits))
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(GOOD)
        assert (await caller.answer())[0] == 200
    assert answers == [False]
