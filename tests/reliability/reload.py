"""Versions that change under load, over HTTP: `python -m tests.reliability.reload`.

Half of what the service can do is asked of it, while versions are published and rolled back one after the other. Every
body is compared, bit for bit, with what the version that it declares gives. The last bits of a row depend on how many
rows share its model call, and on its place among them, so what a version gives is a set: of the answers for every such
number and place, computed before by the engine alone. The sets of different versions share nothing.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_json

from app.imaging.png import encode_png
from app.models.manifest import Manifest, StoredFile
from app.models.store import PARTS, PIN, ModelStore
from tests.support.paths import ROOT
from tests.support.processes import resident_mb
from tests.support.server import serving
from training.export.publish import publish

KINDS = 3  # different weights; version v has those of kind v % KINDS
CALLERS = 16
REQUESTS = 12  # of each route
EVERY_S = 0.02  # between two looks at /livez
PATIENCE_S = 30.0

Bodies = dict[tuple[int, int], set[bytes]]  # by kind and request; without the number of the version


@dataclass(frozen=True)
class Asked:
    """One request, ready to be sent."""

    head: bytes
    body: bytes

    @property
    def message(self) -> bytes:
        """Head and body."""
        return self.head + b"content-length: %d\r\n\r\n" % len(self.body) + self.body


def points() -> Any:
    return np.random.default_rng(0).standard_normal((REQUESTS, 2)).astype(np.float32)


def pictures() -> Any:
    """Grey levels (n, 28, 28), light on dark."""
    levels = np.zeros((REQUESTS, 28, 28), np.uint8)
    levels[:, 4:24, 4:24] = np.random.default_rng(0).integers(0, 256, (REQUESTS, 20, 20))
    return levels


def requests() -> list[Asked]:
    head = b"POST /%s HTTP/1.1\r\nhost: x\r\ncontent-type: %s\r\n"
    generating = [Asked(head % (b"generate", b"application/json"), to_json({"z": z.tolist()})) for z in points()]
    encoding = [Asked(head % (b"encode", b"image/png"), encode_png(digit)) for digit in pictures()]
    return generating + encoding


def prepare(folder: Path) -> Bodies:
    """Write the SavedModels of every kind and compute what each gives, in a process that TensorFlow may fill."""
    from app.models.savedmodel import SavedModelEngine
    from app.models.store import StoredVersion
    from training.config import PRESETS
    from training.export import savedmodel
    from training.model.autoencoder import build

    shipped = ModelStore(ROOT / "model_store").open(1)
    bodies: Bodies = {}
    for kind in range(KINDS):
        for part in PARTS:
            (folder / part).mkdir(parents=True, exist_ok=True)
        if kind:
            model = build(PRESETS["best"].model_copy(update={"seed": kind}), (28, 28))
            savedmodel.save(model, (28, 28), 2, folder / "new")
            for part in PARTS:
                (folder / "new" / part).rename(folder / part / str(kind))
        else:
            for part in PARTS:
                shutil.copytree(shipped.root / part / "1", folder / part / "0")
        engine = SavedModelEngine(StoredVersion(folder, shipped.manifest.model_copy(update={"version": kind})))
        for request, body in answers(engine):
            bodies.setdefault((kind, request), set()).add(body)
        engine.close()
    return bodies


def check_apart(bodies: Bodies) -> None:
    """Fail if a body could be mistaken for another version's."""
    for request in range(2 * REQUESTS):
        for one, other in itertools.combinations(range(KINDS), 2):
            assert not bodies[one, request] & bodies[other, request], "two kinds of version give the same body"


def answers(engine: Any) -> Iterator[tuple[int, bytes]]:
    """What an engine gives for each request, at every place of every size of batch that can occur."""
    z, levels = points(), pictures()
    for rows, first in itertools.product(range(1, CALLERS + 1), range(REQUESTS)):
        chosen = np.arange(first, first + rows) % REQUESTS
        (digits,) = engine.generate_uint8(z[chosen])
        z_mean, z_log_var = engine.encode_uint8(levels[chosen])
        for i, request in enumerate(chosen.tolist()):
            yield request, encode_png(digits[i])
            document = {"z_mean": z_mean[i : i + 1].tolist(), "z_log_var": z_log_var[i : i + 1].tolist()}
            yield REQUESTS + request, b"," + to_json(document)[1:]


@dataclass
class Seen:
    """What the callers met."""

    expected: Bodies
    failures: Counter[str] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    times: list[tuple[float, float]] = field(default_factory=list)  # when an answer came, and after how long
    alive: list[tuple[float, float]] = field(default_factory=list)  # the same of /livez

    def note(self, request: int, started: float, status: int, version: int, body: bytes) -> None:
        """An answer came: is it the one that the version it declares gives?"""
        now = time.perf_counter()
        self.times.append((now, now - started))
        self.versions[version] += 1
        if request >= REQUESTS:
            told, comma, rest = body.partition(b",")
            body = comma + rest
            if told != b'{"model_version":%d' % version:
                self.failures["another version in the body"] += 1
        if status != 200:
            self.failures[f"status {status}"] += 1
        elif body not in self.expected[version % KINDS, request]:
            self.failures["another version's body"] += 1


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, int, bytes]:
    """Status, declared version and body of one answer."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    declared = head.partition(b"x-model-version:")[2].split(b"\r\n")[0]
    return int(head[9:12]), int(declared or 0), await reader.readexactly(length)


async def caller(port: int, number: int, seen: Seen, period_s: float) -> None:
    """One connection: a request every `period_s`, or, behind time or at 0, as soon as the one before is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ready = [(i, asked.message) for i, asked in enumerate(requests())]
    order = itertools.cycle(np.random.default_rng(number).permutation(len(ready)).tolist())
    due = time.perf_counter() + period_s * number / CALLERS
    try:
        while True:
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            due += period_s
            request, message = ready[next(order)]
            started = time.perf_counter()
            seen.note(request, started, *await exchange(reader, writer, message))
    except (OSError, asyncio.IncompleteReadError) as exc:
        seen.failures[type(exc).__name__] += 1
    finally:
        writer.close()


async def prober(port: int, seen: Seen) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            started = time.perf_counter()
            status, _, _ = await exchange(reader, writer, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            seen.alive.append((time.perf_counter(), time.perf_counter() - started))
            if status != 200:
                seen.failures["/livez"] += 1
            await asyncio.sleep(EVERY_S)
    except (OSError, asyncio.IncompleteReadError):
        seen.failures["/livez"] += 1
    finally:
        writer.close()


@asynccontextmanager
async def load(port: int, seen: Seen, per_second: float = 0.0) -> Any:
    """While inside, the callers ask; as fast as they can, or so often all together."""
    period_s = CALLERS / per_second if per_second else 0.0
    tasks = [asyncio.create_task(caller(port, number, seen, period_s)) for number in range(CALLERS)]
    tasks.append(asyncio.create_task(prober(port, seen)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Publisher:
    """Rolls a store forward and back."""

    def __init__(self, store: Path, kinds: Path) -> None:
        self.store = store
        self.kinds = kinds
        self.newest = 0
        self.manifest: Manifest = ModelStore(ROOT / "model_store").open(1).manifest

    def forward(self) -> int:
        """Publish a version, and have the newest served."""
        number = self.newest + 1

        def stage(folder: Path) -> None:
            for part in PARTS:
                shutil.copytree(self.kinds / part / str(number % KINDS), folder / part)
            (folder / "reports").mkdir()

        def describe(version: int, files: list[StoredFile]) -> Manifest:
            return self.manifest.model_copy(update={"version": version, "files": files})

        self.newest = publish(self.store, stage, describe)
        (self.store / PIN).unlink(missing_ok=True)
        return self.newest

    def back(self) -> int:
        """Pin the version before the newest."""
        (self.store / "pin.new").write_text(f"{self.newest - 1}\n")
        (self.store / "pin.new").rename(self.store / PIN)
        return self.newest - 1


async def change(publisher: Publisher, changes: int, every_s: float, seen: Seen) -> list[tuple[float, float]]:
    """Forward and back in turn; from when to when each change took, from the store to the first answer."""
    spans = []
    began = time.perf_counter()
    for number in range(changes):
        await asyncio.sleep(max(0.0, began + number * every_s - time.perf_counter()))
        version = await asyncio.to_thread(publisher.back if number % 2 else publisher.forward)
        started, before = time.perf_counter(), seen.versions[version]
        while seen.versions[version] == before:
            if time.perf_counter() - started > PATIENCE_S:
                raise RuntimeError(f"version {version} is not served after {PATIENCE_S:.0f} s")
            await asyncio.sleep(0.002)
        spans.append((started, time.perf_counter()))
    return spans


async def measure(port: int, process: int, publisher: Publisher, options: argparse.Namespace, expected: Bodies) -> str:
    full, calm, seen = Seen(expected), Seen(expected), Seen(expected)
    async with load(port, Seen(expected)):
        await asyncio.sleep(1)  # warms up
    async with load(port, full):
        await asyncio.sleep(options.seconds)
    capacity = len(full.times) / options.seconds
    async with load(port, calm, capacity / 2):
        await asyncio.sleep(options.seconds)
    async with load(port, seen, capacity / 2):
        began = time.perf_counter()
        spans = await change(publisher, options.changes // 5, options.every, seen)
        before = resident_mb(process)
        spans += await change(publisher, options.changes - len(spans), options.every, seen)
        took = time.perf_counter() - began
        after = resident_mb(process)
    rows = [
        ("changes of version", f"{len(spans)} in {took:.0f} s, publishes and rollbacks in turn"),
        ("answers meanwhile", f"{len(seen.times):,}, {len(seen.times) / took:,.0f} a second; capacity {capacity:,.0f}"),
        ("memory after a fifth of the changes, and after all", f"{before:,.0f} MB, {after:,.0f} MB"),
        ("failures, of any kind", told(full.failures + calm.failures + seen.failures)),
    ]
    return table(rows + changing(calm, seen, spans))


def told(failures: Counter[str]) -> str:
    return ", ".join(f"{count} x {what}" for what, count in failures.items()) or "0"


def table(rows: list[tuple[str, str]]) -> str:
    return "\n".join(["| what | measured |", "|---|---|", *(f"| {name} | {found} |" for name, found in rows)])


def changing(calm: Seen, seen: Seen, spans: list[tuple[float, float]]) -> list[tuple[str, str]]:
    """What callers notice of a change."""
    lasted = [end - start for start, end in spans]
    variants = [len(each) for each in seen.expected.values()]
    rare = min(seen.versions.values())
    return [
        (
            "from a change in the store to the first answer",
            f"median {np.median(lasted):.2f} s, at most {max(lasted):.2f} s",
        ),
        ("versions that answered", f"{len(seen.versions)}, the rarest {rare:,} times"),
        ("bodies that a version may give to a request", f"{min(variants)} to {max(variants)}"),
        ("an answer at this load, no change under way", quantiles(calm.times)),
        ("an answer while a version is loaded", quantiles(within(seen.times, spans))),
        ("`/livez`, no change under way", quantiles(calm.alive)),
        ("`/livez` while a version is loaded", quantiles(within(seen.alive, spans))),
    ]


def within(times: list[tuple[float, float]], spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that came between a change in the store and its first answer."""
    starts, ends = np.array(spans).T
    places = np.searchsorted(starts, [at for at, _ in times], "right") - 1
    return [each for each, place in zip(times, places, strict=True) if place >= 0 and each[0] <= ends[place]]


def quantiles(times: list[tuple[float, float]]) -> str:
    ms = np.array([took for _, took in times]) * 1e3
    return f"p50 {np.percentile(ms, 50):.1f} ms, p99 {np.percentile(ms, 99):.1f} ms, longest {ms.max():.0f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.reload", description=__doc__)
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--every", type=float, default=1.2, help="seconds between two changes")
    parser.add_argument("--seconds", type=float, default=3.0, help="of the measurements without changes")
    parser.add_argument("--interval", type=float, default=0.2, help="VAE_RELOAD_INTERVAL_S")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="digit-vae-") as folder:
        kinds, store = Path(folder, "kinds"), Path(folder, "store")
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
            expected = apart.submit(prepare, kinds).result()
        check_apart(expected)
        publisher = Publisher(store, kinds)
        publisher.forward()
        interval = str(options.interval)
        with serving(store, Path(folder, "log"), workers=1, VAE_RELOAD_INTERVAL_S=interval) as server:
            print(asyncio.run(measure(server.port, server.process.pid, publisher, options, expected)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
