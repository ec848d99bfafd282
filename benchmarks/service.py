"""What has no peer: bulk against the engine in process, the cached manifold, cold start, memory, overload."""

import asyncio
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from app.api.formats import npy
from app.models.store import ModelStore
from benchmarks.servers import FLOOR, ONE, running
from benchmarks.wrk import closed_loop
from tests.reliability.overload import open_loop
from tests.support.paths import ROOT
from tests.support.processes import resident_mb

BULK = 1024
# A sheet of 256 digits: so much work that ten times the server's capacity is still less than one generator can send.
HEAVY = json.dumps({"sample": 256}).encode()
DEADLINE_S = 10.0


def measure(store: Path, runs: int, seconds: float) -> dict[str, Any]:
    """All of them, medians of `runs`."""
    return {
        "bulk": bulk(store, runs),
        "manifold": manifold(store, runs, seconds),
        "start": start(store, runs),
        "overload": overload(store, seconds),
    }


def bulk(store: Path, runs: int) -> dict[str, float]:
    """Images a second for requests of 1,024 z as npy, one client, and of the engine called with the same."""
    served, called = [], []
    for _ in range(runs):
        called.append(float(subprocess.run(
            [sys.executable, "-c", _ENGINE], cwd=ROOT, capture_output=True, text=True, check=True,
            env={**os.environ, "VAE_MODEL_STORE": str(store)},
        ).stdout))  # fmt: skip
        with running(ONE, "generate", store) as (port, _):
            served.append(_bulk_rate(port))
    rates = statistics.median(served), statistics.median(called)
    return {"served": rates[0], "engine": rates[1], "ratio": rates[0] / rates[1]}


def _bulk_rate(port: int) -> float:
    body = npy.dumps(np.random.default_rng(0).standard_normal((BULK, 2)).astype(np.float32))
    headers = {"content-type": npy.MEDIA_TYPE, "accept": npy.MEDIA_TYPE}
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def once() -> None:
        connection.request("POST", "/generate", body, headers)
        assert connection.getresponse().read().startswith(b"\x93NUMPY")

    return _rate(once)


def _rate(once: Any) -> float:
    for _ in range(10):
        once()
    times = []
    end = time.perf_counter() + 3
    while time.perf_counter() < end:
        started = time.perf_counter()
        once()
        times.append(time.perf_counter() - started)
    return BULK / statistics.median(times)


_ENGINE = """
import numpy as np
from app.models.loader import open_saved_models
from app.settings import Settings
from app.models.store import ModelStore
from benchmarks.service import BULK, _rate
settings = Settings()
engine = open_saved_models(ModelStore(settings.model_store).open(), settings)
engine.warm_up()
z = np.random.default_rng(0).standard_normal((BULK, engine.latent_dim)).astype(np.float32)
print(_rate(lambda: engine.generate_uint8(z)))
"""


def manifold(store: Path, runs: int, seconds: float) -> dict[str, float]:
    """Measure the cached picture against a bare route with a body of the same size, c=16."""
    rates: dict[str, list[float]] = {"served": [], "bare": []}
    for _ in range(runs):
        for name, contender in (("bare", FLOOR), ("served", ONE)):
            with running(contender, "generate", store) as (port, _):
                closed_loop(port, "/manifold.png", 1, 1)
                rates[name].append(closed_loop(port, "/manifold.png", 16, seconds).per_second)
    served, bare = (statistics.median(rates[name]) for name in ("served", "bare"))
    return {"served": served, "bare": bare, "ratio": served / bare}


def start(store: Path, runs: int) -> dict[str, float]:
    """Seconds to ready and MB of one worker, against `import tensorflow`."""
    ModelStore(store).open().verify()  # read once, so that the disk is out of it
    found: dict[str, list[float]] = {"import_s": [], "import_mb": [], "ready_s": [], "ready_mb": []}
    for _ in range(runs):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True)
        found["import_s"].append(time.perf_counter() - started)
        found["import_mb"].append(float(done.stdout))
        seconds, megabytes = _ready(store)
        found["ready_s"].append(seconds)
        found["ready_mb"].append(megabytes)
    medians = {name: statistics.median(values) for name, values in found.items()}
    return medians | {
        "ratio": medians["ready_s"] / medians["import_s"],
        "above_import_mb": medians["ready_mb"] - medians["import_mb"],
    }


_IMPORT = """
import tensorflow
print(int(open("/proc/self/status").read().partition("VmRSS:")[2].split()[0]) / 1024)
"""


def _ready(store: Path) -> tuple[float, float]:
    port = 18000 + os.getpid() % 1000
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "app.serve", "--workers", "1", "--port", str(port)], cwd=ROOT, start_new_session=True,
        env={**os.environ, "VAE_MODEL_STORE": str(store)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return time.perf_counter() - started, resident_mb(process.pid)
            except OSError:
                time.sleep(0.02)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _apart(process: int) -> Iterator[None]:
    """Keep the process on the first core and the callers inside on the others; on a single core do nothing."""
    ours = os.sched_getaffinity(0)
    first, *others = sorted(ours)
    if others:
        for task in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(task.name), {first})
        os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


def overload(store: Path, seconds: float) -> dict[str, Any]:
    """Capacity by wrk with 16 clients, then twice and ten times as much, whether answered or not.

    The server has one core and the generator the other: ten times the load is ten times the generator's work, and on
    shared cores that, too, would be taken from the server.
    """
    found: dict[str, Any] = {}
    deadline = {"VAE_REQUEST_TIMEOUT_S": str(DEADLINE_S)}
    with running(ONE, "generate", store, **deadline) as (port, process), _apart(process):
        post = ("application/json", HEAVY)
        closed_loop(port, "/generate", 16, 2, post)
        points = [closed_loop(port, "/generate", 16, seconds, post) for _ in range(3)]
        if any(point.errors for point in points):
            raise RuntimeError("16 clients are refused: what they get is no capacity")
        capacity = statistics.median(point.per_second for point in points)
        before = resident_mb(process)
        found |= {"capacity": capacity, "deadline_s": DEADLINE_S}
        for times in (2, 10):
            run = asyncio.run(open_loop(port, "/generate", HEAVY, times * capacity, max(10, 2 * seconds)))
            found[f"{times}x"] = {**vars(run), "of_capacity": run.goodput / capacity}
        found["growth_mb"] = resident_mb(process) - before
    return found
