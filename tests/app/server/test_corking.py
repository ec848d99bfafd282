"""Heads and bodies in one packet: on a transport that takes notes, and under a real server."""

from __future__ import annotations

import asyncio

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.server.corking import MOST_JOINED_BYTES, CorkedProtocol, CorkedTransport


class Notes(asyncio.Transport):
    """Remembers what was written, and whether it was closed."""

    def __init__(self):
        super().__init__({"peername": ("192.0.2.1", 5)})
        self.packets = []
        self.closed = False

    def write(self, data):
        assert not self.closed
        self.packets.append(bytes(data))

    def writelines(self, parts):
        assert not self.closed
        self.packets.append(tuple(parts))

    def close(self):
        self.closed = True


def corked():
    notes = Notes()
    return notes, CorkedTransport(notes, asyncio.get_running_loop())


async def test_a_head_and_the_body_behind_it_leave_together():
    notes, transport = corked()
    transport.write(b"head;")
    transport.write(b"body;")
    assert notes.packets == [b"head;body;"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert notes.packets == [b"head;body;", b"next"]


async def test_a_head_without_a_body_leaves_when_the_turn_ends():
    notes, transport = corked()
    transport.write(b"head")
    assert notes.packets == []
    await asyncio.sleep(0)
    assert notes.packets == [b"head"]


async def test_a_large_body_leaves_with_its_head_and_is_not_copied():
    notes, transport = corked()
    body = bytes(MOST_JOINED_BYTES + 1)
    transport.write(b"head")
    transport.write(body)
    transport.write(b"tail")
    transport.close()
    assert notes.packets == [(b"head", body), b"tail"]
    assert notes.packets[0][1] is body
    assert notes.closed


async def test_the_rest_is_the_transports_own():
    _, transport = corked()
    assert transport.get_extra_info("peername") == ("192.0.2.1", 5)
    assert not transport.closed


async def pieces():
    for i in range(5):
        yield b"%d" % i
        await asyncio.sleep(0.001)


async def test_under_a_server_every_kind_of_answer_arrives_whole():
    app = Starlette(
        routes=[
            Route("/digit", lambda request: Response(b"digit"), methods=["GET", "HEAD"]),
            Route("/none", lambda request: Response(status_code=204)),
            Route("/large", lambda request: Response(bytes(10**6))),
            Route("/stream", lambda request: StreamingResponse(pieces())),
        ]
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=CorkedProtocol, log_level="error", ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5, trust_env=False) as client:
        for _ in range(3):  # over one connection
            assert (await client.get("/digit")).content == b"digit"
            assert (await client.head("/digit")).headers["content-length"] == "5"
            assert (await client.get("/none")).status_code == 204
            assert (await client.get("/large")).content == bytes(10**6)
            assert (await client.get("/stream")).content == b"01234"
    server.should_exit = True
    await serving
