"""Hundreds of slow callers, by slowhttptest, and how others fare: `python -m tests.reliability.slow_clients`.

Three kinds, one after the other: heads that never end, bodies that never end, answers that are read a few bytes at a
time. Each time the bad connections must be closed by the service within its bounds, and every good request answered.
slowhttptest is a Debian package.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from app.settings import Settings
from tests.reliability.load import BROKEN, MIX
from tests.reliability.overload import exchange
from tests.support.paths import ROOT
from tests.support.server import Server, serving

T = TypeVar("T")

KINDS = {
    "heads": ["-H"],
    "bodies": ["-B", "-f", "application/json", "-s", "8192"],
    # With windows of some bytes, read by 32 in five seconds: at that pace the manifold takes a quarter of an hour.
    "answers": ["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32"],
}
SETTINGS = {"heads": "VAE_HEADER_TIMEOUT_S", "bodies": "VAE_BODY_TIMEOUT_S", "answers": "VAE_SEND_TIMEOUT_S"}
PATHS = {"heads": "/encode", "bodies": "/generate", "answers": "/manifold.png"}
CALLERS = 4
CALM_S = 2.0  # of good traffic alone, to compare with
SLACK_S = 15.0  # for connecting, and for the sweep


@dataclass
class Good:
    """Good traffic: what was answered, and how fast."""

    statuses: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        bad = sum(status != 200 for status in self.statuses)
        p50, p99 = (1000 * np.quantile(self.seconds, q) for q in (0.5, 0.99))
        return f"{len(self.statuses)} answered, {bad} failed, p50 {p50:.1f} ms, p99 {p99:.1f} ms"


@dataclass(frozen=True)
class SlowClients:
    """What came of one kind of slow callers."""

    kind: str
    connections: int  # most that were open at once
    left_open: int  # after all the time that the bounds allow
    seconds: float  # until the last one was closed
    alone: Good
    meanwhile: Good

    @property
    def shielded(self) -> bool:
        """Whether they were closed, and nobody else was touched."""
        return self.left_open == 0 and set(self.meanwhile.statuses) == {200}

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.connections} open at once, {self.left_open} left after {self.seconds:.0f} s; "
            f"good traffic {self.meanwhile}; alone {self.alone}"
        )


async def _callers(port: int, ended: asyncio.Event, good: Good) -> None:
    """Ask for a bit of everything, one request after the other on each connection."""

    async def caller(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        asked = first
        while not ended.is_set():
            began, status = time.perf_counter(), BROKEN
            try:
                status = await asyncio.wait_for(exchange(reader, writer, MIX[asked % len(MIX)]), 30)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            good.statuses.append(status)
            good.seconds.append(time.perf_counter() - began)
            asked += 1
            await asyncio.sleep(0.01)
        writer.close()

    await asyncio.gather(*(caller(n) for n in range(CALLERS)))


async def _attack(kind: str, server: Server, connections: int, most_s: float) -> tuple[int, int, float]:
    """Most connections at once, how many are left at the end, and when that was.

    They are counted on the service's side: slowhttptest does not notice when an answer that it reads slowly is cut off.
    """
    others = len(server.owners())
    command = [
        "slowhttptest", *KINDS[kind], "-c", str(connections), "-r", "250", "-i", "2", "-x", "8", "-p", "5",
        "-l", str(int(2 * most_s)), "-u", f"http://127.0.0.1:{server.port}{PATHS[kind]}",
    ]  # fmt: skip
    began, most, left = time.monotonic(), 0, connections
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        while left and time.monotonic() < began + most_s:
            await asyncio.sleep(0.2)
            now = len(await asyncio.to_thread(server.owners)) - others
            most = max(most, now)
            left = now if most >= connections // 2 else left
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
    return most, left, time.monotonic() - began


async def _with_good_traffic(port: int, good: Good, work: Awaitable[T]) -> T:
    ended = asyncio.Event()
    driving = asyncio.create_task(_callers(port, ended, good))
    await asyncio.sleep(CALM_S)  # everyone is connected
    try:
        return await work
    finally:
        ended.set()
        await driving


async def slow_clients(server: Server, kind: str, connections: int, bound_s: float) -> SlowClients:
    """Have so many slow callers of one kind come."""
    alone, meanwhile = Good(), Good()
    await _with_good_traffic(server.port, alone, asyncio.sleep(CALM_S))
    attack = _attack(kind, server, connections, bound_s + SLACK_S)
    found = await _with_good_traffic(server.port, meanwhile, attack)
    return SlowClients(kind, *found, alone, meanwhile)


def run(store: Path, connections: int, allowed: dict[str, float]) -> list[SlowClients]:
    """All kinds, with a service of its own, which allows each kind so many seconds."""
    environment = {SETTINGS[kind]: f"{seconds:g}" for kind, seconds in allowed.items()}
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(store, Path(folder) / "log", workers=1, **environment) as server,
    ):
        found = [asyncio.run(slow_clients(server, kind, connections, seconds)) for kind, seconds in allowed.items()]
        if (code := server.stop()) != 0:
            raise RuntimeError(f"exit code {code}:\n{server.log.read_text()}")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Attack, print; 0 if the slow ones were closed and the good ones answered."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.slow_clients", description=__doc__)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--store", type=Path, default=ROOT / "model_store")
    options = parser.parse_args(arguments)
    if shutil.which("slowhttptest") is None:
        print("error: slowhttptest is not installed (apt-get install slowhttptest)", file=sys.stderr)
        return 1
    defaults = Settings()
    allowed = {
        "heads": defaults.header_timeout_s,
        "bodies": defaults.body_timeout_s,
        "answers": defaults.send_timeout_s,
    }
    found = run(options.store, options.connections, allowed)
    for each in found:
        print(each)
    return 0 if all(each.shielded for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
