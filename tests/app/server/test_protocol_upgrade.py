"""Requests that ask for another protocol, over a real socket: their body is read, in whatever pieces it comes."""

import asyncio

import pytest

from app.server.protocol import MAX_PIPELINED
from tests.support.live import BODY, GOOD, POST, bounded

OFFERS = [
    b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    b"Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    b"connection: upgrade\r\nupgrade: h2c\r\nupgrade: TLS/1.0, IRC/6.9\r\n",
]
HIDDEN = b"GET /model HTTP/1.1\r\nhost: service\r\n\r\n"


def post(offer: bytes, body: bytes = BODY, version: bytes = b"1.1") -> bytes:
    head = POST.replace(b"HTTP/1.1", b"HTTP/" + version) + offer
    return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)


@pytest.mark.parametrize("offer", OFFERS, ids=["h2c", "websocket", "several"])
async def test_upgrade_is_ignored_and_the_connection_goes_on(settings, offer):
    async with bounded(settings) as live:
        caller = await live.connect()
        for request in (post(offer), GOOD, post(offer)):
            await caller.send(request)
            status, fields, content = await caller.answer()
            assert (status, fields["content-type"]) == (200, "image/png")
            assert content.startswith(b"\x89PNG")


async def test_a_body_in_a_segment_of_its_own_is_not_run_as_a_request(settings):
    async with bounded(settings) as live:
        caller = await live.connect()
        request = post(OFFERS[0], HIDDEN)
        await caller.send(request[: -len(HIDDEN)])
        await asyncio.sleep(0.05)
        await caller.send(HIDDEN)
        assert (await caller.answer())[0] == 400  # a request is no JSON
        await caller.send(GOOD)
        assert (await caller.answer())[1]["content-type"] == "image/png"


async def test_it_may_be_cut_at_every_byte(settings):
    request = post(OFFERS[0])
    async with bounded(settings) as live:
        caller = await live.connect()
        for cut in range(1, len(request)):
            await caller.send(request[:cut])
            await asyncio.sleep(0)
            await caller.send(request[cut:])
            assert (await caller.answer())[0] == 200, cut


async def test_a_body_in_chunks_is_read(settings):
    async with bounded(settings) as live:
        caller = await live.connect()
        chunks = b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (BODY[:5], len(BODY) - 5, BODY[5:])
        await caller.send(POST + OFFERS[1] + b"transfer-encoding: chunked\r\n\r\n" + chunks + GOOD)
        assert [(await caller.answer())[0] for _ in range(2)] == [200, 200]


async def test_in_a_pipeline_every_request_has_its_answer_in_order(settings):
    bad = post(OFFERS[1], b'{"z":1}')
    get = b"GET /livez HTTP/1.1\r\nhost: service\r\n" + OFFERS[0] + b"\r\n"
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(GOOD + post(OFFERS[0]) + bad + get + GOOD)
        assert [(await caller.answer())[0] for _ in range(5)] == [200, 200, 422, 200, 200]


async def test_too_many_of_them_in_one_segment_end_the_connection(settings):
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(post(OFFERS[0]) * MAX_PIPELINED)
        assert [(await caller.answer())[0] for _ in range(MAX_PIPELINED)] == [200] * MAX_PIPELINED
        await caller.send(post(OFFERS[0]) * 10 * MAX_PIPELINED)
        assert [(await caller.answer())[0] for _ in range(MAX_PIPELINED + 1)] == [200] * (MAX_PIPELINED + 1)
        assert await caller.problem() == (400, "malformed-request")
        assert await caller.ended()
        assert await live.works()


async def test_a_body_that_is_asked_for_first_is_read(settings):
    async with bounded(settings) as live:
        caller = await live.connect()
        request = post(OFFERS[0] + b"expect: 100-continue\r\n")
        await caller.send(request[: -len(BODY)])
        assert await asyncio.wait_for(caller.reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await caller.send(BODY)
        assert (await caller.answer())[0] == 200


async def test_http_1_0_is_answered_and_closed(settings):
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(post(OFFERS[1], version=b"1.0") + HIDDEN)
        assert (await caller.answer())[0] == 200
        assert await caller.ended()


@pytest.mark.parametrize("behind", [b"", HIDDEN])
async def test_connect_is_refused_and_nothing_behind_it_is_run(settings, behind):
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(b"CONNECT service:443 HTTP/1.1\r\nhost: service\r\n\r\n" + behind)
        assert await caller.problem() == (400, "malformed-request")
