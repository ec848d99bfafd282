"""OpenLoopResult-loop load: requests are sent when they are due, whether or not earlier ones were answered.

A closed-loop generator such as wrk slows down with the server, and so never overloads it.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

MAX_CONNECTIONS = 4000
LEFT_OVER_S = 35.0


@dataclass(frozen=True)
class OpenLoopResult:
    """What came of one run."""

    offered: float  # requests a second, as sent
    goodput: float  # answered with 200, a second
    accepted_p99_ms: float
    refused_p50_ms: float
    refused_p99_ms: float
    livez_p99_ms: float
    livez_failures: int
    statuses: dict[str, int]  # and "reset" for a broken connection, "unsent" for want of one


class _Load:
    def __init__(self, port: int, request: bytes) -> None:
        self.port = port
        self.request = request
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.open = 0
        self.times: dict[int, list[float]] = {}
        self.statuses: Counter[str] = Counter()

    async def one(self) -> None:
        """Send one request and note what came of it."""
        if not self.idle and self.open >= MAX_CONNECTIONS:
            self.statuses["unsent"] += 1
            return
        started = time.perf_counter()
        try:
            if not self.idle:
                self.open += 1
                self.idle.append(await asyncio.open_connection("127.0.0.1", self.port))
            connection = self.idle.pop()
            status = await exchange(*connection, self.request)
        except (OSError, asyncio.IncompleteReadError):
            self.open -= 1
            self.statuses["reset"] += 1
            return
        self.idle.append(connection)
        self.statuses[str(status)] += 1
        self.times.setdefault(status, []).append(time.perf_counter() - started)


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """One request over a kept connection; the status of its answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head[9:12])


async def open_loop(port: int, path: str, body: bytes, rate: float, seconds: float) -> OpenLoopResult:
    """`rate` requests a second for `seconds`, all JSON; beside it /livez twenty times a second."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    load = _Load(port, head.encode() + body)
    probing = asyncio.create_task(_probe(port))
    started = time.perf_counter()
    tasks: set[asyncio.Task[None]] = set()
    sent = 0
    while (now := time.perf_counter() - started) < seconds:
        while sent < now * rate:
            task = asyncio.create_task(load.one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.001)
    good = load.statuses["200"]
    took = time.perf_counter() - started
    if tasks:
        await asyncio.wait(tasks, timeout=LEFT_OVER_S)
    probing.cancel()
    alive, failures = await probing
    for _, writer in load.idle:
        writer.close()
    refused = [t for status in (429, 503) for t in load.times.get(status, ())]
    return OpenLoopResult(
        sent / took,
        good / took,
        _ms(load.times.get(200, ()), 99),
        _ms(refused, 50),
        _ms(refused, 99),
        _ms(alive, 99),
        failures,
        dict(load.statuses),
    )


async def _probe(port: int) -> tuple[list[float], int]:
    times: list[float] = []
    failures = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            started = time.perf_counter()
            status = await exchange(reader, writer, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            failures += status != 200
            times.append(time.perf_counter() - started)
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        return times, failures
    except (OSError, asyncio.IncompleteReadError):
        return times, failures + 1
    finally:
        writer.close()


def _ms(seconds: object, percent: float) -> float:
    values = np.asarray(seconds, float)
    return float(np.percentile(values, percent) * 1e3) if values.size else 0.0
