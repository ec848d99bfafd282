"""A steady load over kept connections that remembers which requests failed, and on which connection."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tests.reliability.overload import exchange
from tests.support.paths import DIGIT

BROKEN = 0  # in place of a status: the connection was reset, closed, or refused
PATIENCE_S = 60
IDLE_S = 2.0  # kept no longer, well before the service would close it: callers that kept it too long would race with it


def post(path: str, kind: str, body: bytes) -> bytes:
    """A request as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


SHEET = post("/generate", "application/json", json.dumps({"sample": 64}).encode())
# A bit of everything that callers ask for.
MIX = (
    SHEET,
    post("/encode", "image/png", DIGIT),
    post("/generate", "application/json", b'{"z": [0.5, -0.5]}'),
    post("/reconstruct", "image/png", DIGIT),
    b"GET /manifold.png HTTP/1.1\r\nhost: x\r\n\r\n",
    post("/v2/models/generator/infer", "application/json", json.dumps(
        {"inputs": [{"name": "z", "shape": [1, 2], "datatype": "FP32", "data": [0, 0]}]}
    ).encode()),
)  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """A request that was not answered with 200."""

    began: float  # on the monotonic clock, in seconds
    seconds: float
    status: int
    port: int  # the client's; 0 if there was no connection


class Connection:
    """One kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.port: int = writer.get_extra_info("sockname")[1]
        self.used = time.monotonic()


class Load:
    """Callers that take an idle connection or open another, and drop one that broke.

    Args:
        port: of the service, on the loopback.
        requests: sent in turn.
    """

    def __init__(self, port: int, requests: Sequence[bytes] = MIX) -> None:
        self.port = port
        self.statuses: Counter[int] = Counter()
        self.failed: list[Failure] = []
        self._requests = itertools.cycle(requests)
        self._idle: list[Connection] = []

    async def closed_loop(self, clients: int, seconds: float) -> float:
        """Requests a second of callers that wait for their answers: the service's capacity."""
        until = time.monotonic() + seconds
        before = self.statuses.total()

        async def caller() -> None:
            while time.monotonic() < until:
                await self._one()

        await asyncio.gather(*(caller() for _ in range(clients)))
        return (self.statuses.total() - before) / seconds

    async def open(self, rate: float, ended: asyncio.Event) -> None:
        """`rate` requests a second until `ended` is set, answered or not."""
        started, sent = time.monotonic(), 0
        tasks: set[asyncio.Task[None]] = set()
        while not ended.is_set():
            while sent < (time.monotonic() - started) * rate:
                task = asyncio.create_task(self._one())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                sent += 1
            await asyncio.sleep(0.002)
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_S)

    def forget(self) -> None:
        """Count anew."""
        self.statuses.clear()
        self.failed.clear()

    def close(self) -> None:
        """Hang up."""
        for connection in self._idle:
            connection.writer.close()
        self._idle.clear()

    async def _one(self) -> None:
        began, port, status = time.monotonic(), 0, BROKEN
        with suppress(OSError):
            connection = self._kept() or await self._connect()
            port = connection.port
            status = await self._exchange(connection)
        self.statuses[status] += 1
        if status != 200:
            self.failed.append(Failure(began, time.monotonic() - began, status, port))

    async def _exchange(self, connection: Connection) -> int:
        try:
            async with asyncio.timeout(PATIENCE_S):
                status = await exchange(connection.reader, connection.writer, next(self._requests))
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            connection.writer.close()
            return BROKEN
        connection.used = time.monotonic()
        self._idle.append(connection)
        return status

    def _kept(self) -> Connection | None:
        """An idle connection that is not idle for too long; after a burst many are."""
        while self._idle:
            connection = self._idle.pop()
            if time.monotonic() - connection.used < IDLE_S and not connection.reader.at_eof():
                return connection
            connection.writer.close()
        return None

    async def _connect(self) -> Connection:
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port))
