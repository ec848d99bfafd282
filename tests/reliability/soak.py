"""A long life: `python -m tests.reliability.soak --minutes 30 --reloads 200`.

The service at 0.7 of what it can do, with all kinds of requests, while versions are published and withdrawn under it.
Every second its memory, open files and threads are looked at; in the last half they must not grow.
"""

import argparse
import asyncio
import http.client
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from app.models.manifest import Manifest, StoredFile
from app.models.store import PARTS, ModelStore
from tests.reliability.load import Load
from tests.support.paths import ROOT
from tests.support.processes import family, resident_mb
from tests.support.server import Server, serving
from training.export.publish import REPORT, publish

SHARE = 0.7
RELOAD_INTERVAL_S = "1"
CHANGE_S = 30.0  # by then a published version is served


@dataclass(frozen=True)
class Sample:
    """The service and its workers at one moment."""

    seconds: float
    resident_mb: float
    files: int
    sockets: int
    threads: int


@dataclass(frozen=True)
class Soak:
    """What came of it."""

    minutes: float
    capacity: float  # requests a second
    answered: int
    failed: dict[int, int]  # by status; 0 is a broken connection
    reloads: int  # that were seen to be served
    slope_mb_per_hour: float  # of the last half, by least squares
    growth_mb: float  # from the first quarter's median to the last's
    files: tuple[int, int]  # least and most in the last half, sockets not counted
    threads: tuple[int, int]
    sockets_left: int  # more than before, once the callers have gone
    samples: list[Sample]


def copy_version(store: Path, version: int) -> int:
    """Publish a copy of a version under the next number."""
    stored = ModelStore(store).open(version)

    def stage(folder: Path) -> None:
        for part in (*PARTS, REPORT):
            shutil.copytree(store / part / str(version), folder / part)

    def describe(number: int, files: list[StoredFile]) -> Manifest:
        now = datetime.now(UTC).replace(microsecond=0)
        return stored.manifest.model_copy(update={"version": number, "created": now, "files": files})

    return publish(store, stage, describe)


def withdraw(store: Path, version: int) -> None:
    """Make a version invisible: services go back to the one before."""
    (store / "manifests" / f"{version}.json").unlink()


def remove(store: Path, version: int) -> None:
    """Delete what a withdrawn version left, once nobody loads it any more."""
    for part in (*PARTS, REPORT):
        shutil.rmtree(store / part / str(version), ignore_errors=True)


def sample(server: Server, started: float) -> Sample:
    """Look at the service."""
    opened: list[str] = []
    threads = 0
    for process in family(server.process.pid):
        try:
            opened += server.open_files(process)
            threads += len(os.listdir(f"/proc/{process}/task"))
        except OSError:
            continue  # it has ended
    sockets = sum(name.startswith("socket:") for name in opened)
    seconds, resident = time.monotonic() - started, resident_mb(server.process.pid)
    return Sample(seconds, resident, len(opened) - sockets, sockets, threads)


def served_version(server: Server) -> int | None:
    """What /model says; None if it says nothing, for want of room."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("GET", "/model")
        answer = connection.getresponse()
        told = json.loads(answer.read())
        return int(told["version"]) if answer.status == 200 else None
    finally:
        connection.close()


async def _until_served(server: Server, version: int) -> None:
    deadline = time.monotonic() + CHANGE_S
    while await asyncio.to_thread(served_version, server) != version:
        if time.monotonic() > deadline:
            raise RuntimeError(f"version {version} is not served after {CHANGE_S:g} s:\n{server.log.read_text()}")
        await asyncio.sleep(0.2)


async def _reload(server: Server, store: Path, times: int, seconds: float) -> int:
    """Publish, withdraw, publish ... evenly over the time; how often the service followed."""
    first = ModelStore(store).versions()[-1]
    newest = first
    started = time.monotonic()
    for n in range(times):
        await asyncio.sleep(max(0.0, started + n * seconds / times - time.monotonic()))
        if newest == first:
            newest = await asyncio.to_thread(copy_version, store, first)
            await _until_served(server, newest)
        else:
            withdraw(store, newest)
            await _until_served(server, first)
            remove(store, newest)
            newest = first
    return times


async def _watch(server: Server, ended: asyncio.Event) -> list[Sample]:
    started, samples = time.monotonic(), []
    while not ended.is_set():
        samples.append(await asyncio.to_thread(sample, server, started))
        await asyncio.sleep(1)
    return samples


async def soak(server: Server, store: Path, minutes: float, reloads: int) -> Soak:
    """Drive a service for so long."""
    load, ended = Load(server.port), asyncio.Event()
    before = sample(server, 0.0)
    await load.closed_loop(16, 2)
    capacity = await load.closed_loop(16, 3)
    load.forget()
    driving = asyncio.create_task(load.open(SHARE * capacity, ended))
    watching = asyncio.create_task(_watch(server, ended))
    started = time.monotonic()
    try:
        followed = await _reload(server, store, reloads, 60 * minutes)
        await asyncio.sleep(max(0.0, started + 60 * minutes - time.monotonic()))
    finally:
        ended.set()
        await driving
        samples = await watching
        load.close()
    return Soak(
        minutes,
        capacity,
        load.statuses[200],
        {status: count for status, count in load.statuses.items() if status != 200},
        followed,
        *_growth(samples),
        await _sockets_left(server, before.sockets),
        samples,
    )


async def _sockets_left(server: Server, before: int) -> int:
    """How many more are open than before; given a moment, for the service to see that its callers have gone."""
    for _ in range(50):
        if (left := sample(server, 0.0).sockets - before) <= 0:
            break
        await asyncio.sleep(0.2)
    return max(0, left)


def _growth(samples: list[Sample]) -> tuple[float, float, tuple[int, int], tuple[int, int]]:
    """Of memory: slope and growth; of files and of threads: least and most."""
    last = samples[len(samples) // 2 :]
    slope = np.polyfit([each.seconds for each in last], [each.resident_mb for each in last], 1)[0]
    quarter = max(1, len(samples) // 4)
    first_mb, last_mb = (
        np.median([each.resident_mb for each in part]) for part in (samples[:quarter], last[-quarter:])
    )
    files, threads = [each.files for each in last], [each.threads for each in last]
    return float(slope) * 3600, float(last_mb - first_mb), (min(files), max(files)), (min(threads), max(threads))


def run(store: Path, minutes: float, reloads: int, workers: int) -> Soak:
    """With a service, and a copy of the store, of its own."""
    with tempfile.TemporaryDirectory() as folder:
        copy, log = Path(folder) / "store", Path(folder) / "log"
        shutil.copytree(store, copy)
        with serving(copy, log, workers=workers, VAE_RELOAD_INTERVAL_S=RELOAD_INTERVAL_S) as server:
            found = asyncio.run(soak(server, copy, minutes, reloads))
            if (code := server.stop()) != 0:
                raise RuntimeError(f"exit code {code}:\n{log.read_text()}")
        return found


def main(arguments: list[str] | None = None) -> int:
    """Soak, print; 0 if nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--store", type=Path, default=ROOT / "model_store")
    parser.add_argument("--out", type=Path, help="write everything there as JSON, samples included")
    options = parser.parse_args(arguments)
    found = run(options.store, options.minutes, options.reloads, options.workers)
    if options.out:
        options.out.write_text(json.dumps(asdict(found), indent=1) + "\n")
    for name, value in asdict(found).items():
        if name != "samples":
            print(f"{name:18} {value if not isinstance(value, float) else round(value, 2)}")
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
