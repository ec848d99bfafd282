"""Stops of a real server, at the very moment that a request arrives."""

import asyncio
import functools
import time

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.server.connections import Connections
from app.server.protocol import STOP_LINGER_S, LimitedHttpProtocol
from app.settings import Settings
from tests.reliability.overload import exchange

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def answer(request):
    return PlainTextResponse("here")


@pytest.fixture
async def server():
    app = Starlette(routes=[Route("/", answer)])
    http = functools.partial(LimitedHttpProtocol, Connections(Settings()))
    made = uvicorn.Server(uvicorn.Config(app, port=0, http=http, log_level="error", lifespan="off"))
    serving = asyncio.create_task(made._serve())
    while not made.started:
        await asyncio.sleep(0.001)
    yield made
    made.should_exit = True
    await asyncio.wait_for(serving, 10)


async def connected(server):
    """A connection that has been used once and is idle."""
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await exchange(reader, writer, REQUEST) == 200
    return reader, writer


def stop(server):
    for connection in list(server.server_state.connections):
        connection.shutdown()


async def test_what_has_arrived_but_was_not_read_is_answered(server):
    reader, writer = await connected(server)
    writer.write(REQUEST)  # in the server's socket from here on
    stop(server)
    time.sleep(2 * STOP_LINGER_S)  # the loop is busy, and all its timers are late
    assert (await reader.read()).endswith(b"here")
    writer.close()


async def test_an_idle_connection_is_closed_a_moment_later(server):
    reader, writer = await connected(server)
    stop(server)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_a_caller_that_hangs_up_meanwhile_is_no_fault(server):
    _, writer = await connected(server)
    stop(server)
    writer.close()
    await asyncio.sleep(2 * STOP_LINGER_S)
    assert not server.server_state.connections
