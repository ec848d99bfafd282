"""Responses in one packet: on a transport that takes notes, and under a real server."""

import asyncio
import functools
import gc
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from uvicorn.server import ServerState

from app.main import create_app
from app.server.connections import Connections
from app.server.protocol import LimitedHttpProtocol
from app.server.response_cycle import MAX_JOINED_BYTES
from app.settings import Settings
from tests.support.fakes import FakeEngine
from tests.support.live import GOOD

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Notes(asyncio.Transport):
    """Remembers what was written, and whether it was closed."""

    def __init__(self):
        super().__init__({"peername": ("192.0.2.1", 5), "sockname": ("192.0.2.2", 80)})
        self.packets = []
        self.closed = False

    def write(self, data):
        self.packets.append(bytes(data))

    def writelines(self, parts):
        self.packets.append(tuple(parts))

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_write_buffer_size(self):
        return 0

    def resume_reading(self):
        """There is nothing to read."""


async def answered(application: Any, request: bytes = GET) -> Notes:
    """What was written in answer to a request."""
    config = uvicorn.Config(application, ws="none", log_level="critical", access_log=False)
    config.load()
    protocol = LimitedHttpProtocol(Connections(Settings()), config=config, server_state=ServerState(), app_state={})
    notes = Notes()
    protocol.connection_made(notes)
    protocol.data_received(request)
    await asyncio.gather(*protocol.tasks)
    protocol.connection_lost(OSError())
    return notes


def sending(*messages: dict[str, Any]) -> Any:
    async def application(scope, receive, send):
        for message in messages:
            await send(message)

    return application


def start(length: int, *more: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % length), *more]}


def body(content: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def test_a_head_and_the_body_behind_it_leave_together():
    notes = await answered(sending(start(5, (b"a", b"b")), body(b"digit")))
    assert notes.packets == [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\na: b\r\n\r\ndigit"]
    assert not notes.closed


async def test_a_large_body_leaves_with_its_head_and_is_not_copied():
    content = bytes(MAX_JOINED_BYTES + 1)
    notes = await answered(sending(start(len(content)), body(content)))
    ((head, sent),) = notes.packets
    assert head.endswith(b"\r\n\r\n")
    assert sent is content


@pytest.mark.parametrize(
    ("messages", "request_"),
    [
        ((start(5), body(b"dig", more=True), body(b"it")), GET),
        ((start(5), body(b"digit")), GET.replace(b"GET", b"HEAD")),
        ((start(5), body(b"digit")), GET.replace(b"host", b"connection: close\r\nhost")),
        ((start(5, (b"connection", b"close")), body(b"digit")), GET),
        (({**start(0), "headers": []}, body(b"digit")), GET),
    ],
    ids=["in pieces", "head", "close asked for", "close told", "chunked"],
)
async def test_any_other_response_is_written_as_uvicorn_does(messages, request_):
    notes = await answered(sending(*messages), request_)
    whole = b"".join(notes.packets)
    head, _, content = whole.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (b"connection: close" in head) == notes.closed
    assert content in (b"digit", b"", b"5\r\ndigit\r\n0\r\n\r\n")
    assert (content == b"") == request_.startswith(b"HEAD")


@pytest.mark.parametrize("length", [4, 6])
async def test_a_body_of_another_length_than_announced_breaks_the_connection(length):
    assert (await answered(sending(start(length), body(b"digit")))).closed


async def test_an_application_that_fails_before_its_body_is_answered_for():
    async def failing(scope, receive, send):
        await send(start(5))
        raise RuntimeError("nothing is left")

    (head, *_) = (await answered(failing)).packets
    assert head.startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("value", [b"b\r\nset-cookie: c", b"b\nc", b"b\r"])
async def test_no_field_brings_another_line(value):
    notes = await answered(sending(start(5, (b"a", value)), body(b"digit")))
    assert b"digit" not in b"".join(notes.packets)
    assert notes.packets[0].startswith(b"HTTP/1.1 500 ")


async def test_a_request_leaves_nothing_to_the_garbage_collector(settings):
    """A circle of references would: the collector then looks through all that is under way, every few requests."""
    app = create_app(settings, lambda stored, settings: FakeEngine())
    async with app.router.lifespan_context(app):
        await answered(app, GOOD)
        gc.collect()
        gc.disable()
        try:
            notes = await answered(app, GOOD)
            found = [each for each in garbage() if isinstance(each, dict) and "raw_path" in each]
        finally:
            gc.enable()
    assert notes.packets[0].startswith(b"HTTP/1.1 200 ")
    assert found == []


def garbage() -> list[Any]:
    """What only the collector can free; it is freed once the list is let go."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return gc.garbage[:]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


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
    http = functools.partial(LimitedHttpProtocol, Connections(Settings()))
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=http, log_level="error", ws="none"))
    serving = asyncio.create_task(server._serve())
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
