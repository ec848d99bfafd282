"""Applications served within the test's process, in its event loop or in a thread; and raw sockets."""

import asyncio
import functools
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import uvicorn

from app.main import create_app
from app.server.connections import Connections
from app.server.protocol import LimitedHttpProtocol
from app.settings import Settings
from tests.support.fakes import FakeEngine

POST = b"POST /generate HTTP/1.1\r\nhost: service\r\ncontent-type: application/json\r\n"
BODY = b'{"z":[0,0]}'
GOOD = POST + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)


@asynccontextmanager
async def serving(app: Any, http: Any) -> AsyncIterator[int]:
    """The port that `app` is served at."""
    config = uvicorn.Config(
        app, port=0, http=http, log_level="error", ws="none", proxy_headers=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())  # serve() would take the signals of the test process
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


class Caller:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields and body of one answer with a length."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await asyncio.wait_for(self.reader.readexactly(int(fields["content-length"])), 5)
        return int(head[0].split()[1]), fields, body

    async def problem(self) -> tuple[int, str]:
        """Status and code of one answer that is a problem document, after which the connection ends."""
        status, fields, body = await self.answer()
        assert fields["content-type"] == "application/problem+json"
        assert fields["connection"] == "close"
        assert await self.ended()
        document = json.loads(body)
        assert document["status"] == status
        return status, document["code"]

    async def ended(self, within_s: float = 3) -> bool:
        """Whether the server closes, without another byte."""
        try:
            return await asyncio.wait_for(self.reader.read(1), within_s) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class Live:
    """A served application: its port and connections, and callers that are closed with it."""

    def __init__(self, port: int, connections: Connections) -> None:
        self.port = port
        self.connections = connections
        self.callers: list[Caller] = []

    async def connect(self) -> Caller:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self.port))
        self.callers.append(caller)
        return caller

    async def works(self) -> bool:
        """Whether a good request on a new connection is answered well."""
        caller = await self.connect()
        await caller.send(GOOD)
        status, _, body = await caller.answer()
        await caller.close()
        return status == 200 and body.startswith(b"\x89PNG")


@asynccontextmanager
async def bounded(settings: Settings, **changes: Any) -> AsyncIterator[Live]:
    """The whole application with some settings changed."""
    chosen = settings.model_copy(update=changes)
    live = Live(0, Connections(chosen))
    app = create_app(chosen, lambda stored, settings: FakeEngine())
    async with serving(app, functools.partial(LimitedHttpProtocol, live.connections)) as live.port:
        try:
            yield live
        finally:
            for caller in live.callers:
                await caller.close()


@contextmanager
def serving_in_thread(app: Any) -> Iterator[str]:
    """The address of `app` while it is served."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, ws="none", log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
