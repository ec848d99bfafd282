"""The service's metrics in Prometheus' text format: GET /metrics.

The number of series is fixed at startup, so all of them are in one array of doubles, and counting adds to one element:
a third of a microsecond, where a client library takes several. The array may be a memory-mapped file. With several
workers, each has its own file in one folder, and the worker that answers /metrics adds them up. Files of workers that
have died still count, except for gauges.
"""

import mmap
import os
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from app.telemetry.response_recorder import RESPONSE, RecordedResponse, declared_path

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "digit_vae"
OTHER = "other"
NO_ANSWER = 0  # counts as a status of "other": the caller hung up
STATUSES = (200, 304, 307, 400, 401, 404, 405, 406, 408, 413, 415, 422, 429, 499, 500, 503)

REQUEST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MODEL_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

HISTOGRAMS: tuple[tuple[str, Sequence[float], str], ...] = (
    ("queue_seconds", MODEL_S, "What a request waited for its model call."),
    ("inference_seconds", MODEL_S, "What a model call took."),
    ("batch_rows", BATCH_ROWS, "Rows of a model call."),
)
NUMBERS = (
    ("rejected_total", "counter", "Requests refused because too much was under way."),
    ("abandoned_total", "counter", "Requests dropped before their model call."),
    ("reloads_total", "counter", "Changes to another version of the model while running."),
    ("reload_failures_total", "counter", "Times that the version to serve could not be, so the one before served on."),
    ("queue_rows", "gauge", "Rows that wait for the model."),
    ("model_version", "gauge", "The version of the model that is served."),
)


class CountRequests:
    """ASGI middleware that counts each request by route, status and duration."""

    def __init__(self, app: ASGIApp, metrics: "Metrics") -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, then count it."""
        try:
            await self._app(scope, receive, send)
        finally:
            response: RecordedResponse = scope[RESPONSE]
            seconds = time.perf_counter() - response.started
            self._metrics.request(declared_path(scope), response.status or NO_ANSWER, seconds)


class Metrics:
    """The metrics of one process; it implements BatchObserver and ReloadObserver.

    Args:
        routes: the paths that have a series of their own; requests for any other path count as "other".
        folder: folder of the workers' files, each named by its process id; without it the metrics stay in this process.
    """

    def __init__(self, routes: Sequence[str], folder: Path | None = None) -> None:
        self.routes = frozenset(routes)
        self._routes = (*routes, OTHER)
        self._folder = folder
        layout = _Layout()
        self._route = {route: i for i, route in enumerate(self._routes)}
        self._status = {status: i for i, status in enumerate((*STATUSES, OTHER))}
        self._requests = layout.take(len(self._routes) * len(self._status))
        self._latency = [layout.histogram(REQUEST_S) for _ in self._routes]
        self._histograms = [layout.histogram(bounds) for _, bounds, _ in HISTOGRAMS]
        self._numbers = {name: layout.take() for name, _, _ in NUMBERS}
        self._size = layout.size
        self._values = _doubles(self._size, folder)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        at = self._route.get(route, len(self._routes) - 1)
        kind = self._status.get(status, len(self._status) - 1)
        self._values[self._requests + at * len(self._status) + kind] += 1
        self._observe(self._latency[at], REQUEST_S, seconds)

    def queued(self, rows: int) -> None:
        """See BatchObserver."""
        self._values[self._numbers["queue_rows"]] = rows

    def batch(self, rows: int, waits_s: Sequence[float], took_s: float) -> None:
        """See BatchObserver."""
        waits, durations, sizes = self._histograms
        for wait_s in waits_s:
            self._observe(waits, MODEL_S, wait_s)
        self._observe(durations, MODEL_S, took_s)
        self._observe(sizes, BATCH_ROWS, rows)

    def rejected(self) -> None:
        """See BatchObserver."""
        self._values[self._numbers["rejected_total"]] += 1

    def abandoned(self) -> None:
        """See BatchObserver."""
        self._values[self._numbers["abandoned_total"]] += 1

    def serves(self, version: int) -> None:
        """Record the served version."""
        self._values[self._numbers["model_version"]] = version

    def reloaded(self) -> None:
        """See ReloadObserver."""
        self._values[self._numbers["reloads_total"]] += 1

    def reload_failed(self) -> None:
        """See ReloadObserver."""
        self._values[self._numbers["reload_failures_total"]] += 1

    def _observe(self, at: int, bounds: Sequence[float], value: float) -> None:
        values = self._values
        values[at + bisect_left(bounds, value)] += 1
        values[at + len(bounds) + 1] += value

    def text(self) -> str:
        """Return all series in Prometheus' text format."""
        total = self._total()
        lines = [
            *_head("requests_total", "counter", "Requests answered, by route and status."),
            *self._request_lines(total),
            *_head("request_seconds", "histogram", "From a request's first byte to its answer."),
        ]
        for route, at in zip(self._routes, self._latency, strict=True):
            if sum(total[at : at + len(REQUEST_S) + 1]):
                lines += _histogram("request_seconds", total, at, REQUEST_S, f'route="{route}",')
        for at, (name, bounds, meaning) in zip(self._histograms, HISTOGRAMS, strict=True):
            lines += [*_head(name, "histogram", meaning), *_histogram(name, total, at, bounds)]
        for name, kind, meaning in NUMBERS:
            lines += [*_head(name, kind, meaning), f"{PREFIX}_{name} {total[self._numbers[name]]:g}"]
        workers = self._workers()
        resident = sum(map(_resident_bytes, workers))
        lines += [*_head("workers", "gauge", "Processes that answer requests."), f"{PREFIX}_workers {len(workers)}"]
        lines += _head("resident_bytes", "gauge", "Their memory; shared pages count in each.")
        lines.append(f"{PREFIX}_resident_bytes {resident}")
        return "\n".join(lines) + "\n"

    def _request_lines(self, total: Sequence[float]) -> Iterator[str]:
        for route, at in self._route.items():
            for status, kind in self._status.items():
                if count := total[self._requests + at * len(self._status) + kind]:
                    yield f'{PREFIX}_requests_total{{route="{route}",status="{status}"}} {count:.0f}'

    def _workers(self) -> list[int]:
        """Return the process ids of the running workers."""
        if self._folder is None:
            return [os.getpid()]
        return [process for process in (int(path.stem) for path in self._folder.glob("*.metrics")) if _alive(process)]

    def _total(self) -> list[float]:
        """Return the values summed over all workers: gauges over running ones only, and the newest version."""
        if self._folder is None:
            return list(self._values)
        total = [0.0] * self._size
        queue, version = self._numbers["queue_rows"], self._numbers["model_version"]
        newest = 0.0
        for path in self._folder.glob("*.metrics"):
            counts = array("d", path.read_bytes())
            if len(counts) != self._size:
                continue  # a worker that is just starting
            if not _alive(int(path.stem)):
                counts[queue] = counts[version] = 0
            newest = max(newest, counts[version])
            total = [sum(pair) for pair in zip(total, counts, strict=True)]
        total[version] = newest
        return total


class _Layout:
    """Assigns positions in the array."""

    def __init__(self) -> None:
        self.size = 0

    def take(self, count: int = 1) -> int:
        self.size += count
        return self.size - count

    def histogram(self, bounds: Sequence[float]) -> int:
        """Reserve a count per bucket, one for values beyond all bounds, and the sum; return the first position."""
        return self.take(len(bounds) + 2)


def _doubles(size: int, folder: Path | None) -> "memoryview[float]":
    if folder is None:
        return memoryview(bytearray(8 * size)).cast("d")
    with (folder / f"{os.getpid()}.metrics").open("w+b") as file:
        file.truncate(8 * size)
        return memoryview(mmap.mmap(file.fileno(), 8 * size)).cast("d")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _resident_bytes(process: int) -> int:
    """Return the resident set size of a process in bytes; 0 without /proc, or if the process has just ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {PREFIX}_{name} {meaning}", f"# TYPE {PREFIX}_{name} {kind}"]


def _histogram(name: str, total: Sequence[float], at: int, bounds: Sequence[float], labels: str = "") -> Iterator[str]:
    count = 0.0
    for i, bound in enumerate((*bounds, "+Inf")):
        count += total[at + i]
        yield f'{PREFIX}_{name}_bucket{{{labels}le="{bound}"}} {count:.0f}'
    plain = f"{{{labels.rstrip(',')}}}" if labels else ""
    yield f"{PREFIX}_{name}_sum{plain} {total[at + len(bounds) + 1]:.9g}"
    yield f"{PREFIX}_{name}_count{plain} {count:.0f}"
