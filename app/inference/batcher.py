"""Dynamic batching: concurrent requests share a model call. Stands between the service and the engine.

There is no timer. A lone request runs at once; requests that arrive while the model is busy form the next batch, so
batches grow with the load. Requests are grouped by the function to call: a batch never mixes encoding with
generating, nor two versions of the model.

A batch runs in the batcher's thread, unless it is so small that handing it over would take longer than running it.
Then it runs on the event loop, once all requests of the same iteration of the loop are queued.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from app.errors import CallerLeft, DigitVaeError, EngineError, Overloaded, ShuttingDown, Unavailable

Array = npt.NDArray[Any]
ModelOutputs = tuple[Array, ...]  # arrays of equal length, a row per row of the input
ModelCall = Callable[[Any], ModelOutputs]
Outcome = ModelOutputs | DigitVaeError
Failed = Callable[[DigitVaeError], object]
IsDisconnected = Callable[[], bool]  # whether the caller has hung up

# Only those that have waited this long are asked whether they left: before, asking costs more than it saves.
ASK_AFTER_S = 0.05
STOPPING = "The service is stopping. Send the request to another instance, or again later."


class BatchObserver(Protocol):
    """The events that a batcher reports, for metrics."""

    def queued(self, rows: int) -> None:
        """Record the number of rows that are waiting."""

    def batch(self, rows: int, waits_s: Sequence[float], took_s: float) -> None:
        """Count a model call: its rows, the seconds that each of its requests waited, and its own duration."""

    def rejected(self) -> None:
        """Count a request that was rejected because the queue is full."""

    def abandoned(self) -> None:
        """Count a request that was dropped before its model call: its client disconnected, or its time was up."""


@dataclass(slots=True, eq=False)
class _Waiting:
    call: ModelCall
    rows: Array
    answer: asyncio.Future[ModelOutputs]
    is_disconnected: IsDisconnected | None
    since: float

    def abandoned(self, now: float) -> bool:
        """Return whether nothing awaits the result any more; ask for a disconnect only after ASK_AFTER_S."""
        if self.answer.done():
            return True
        return self.is_disconnected is not None and now - self.since > ASK_AFTER_S and self.is_disconnected()


class Batcher:
    """Runs model calls one after the other, many requests per call.

    It has no timeouts: a caller that stops waiting cancels `submit`, and its request then costs no model call.

    Args:
        max_batch: maximum number of rows per call; a longer request is split.
        max_queue: maximum number of waiting rows.
        inline_rows: maximum number of rows of a batch that runs on the event loop; others run in the batcher's thread.
        observer: is notified of queue and batches.
        failed: is called with the error of each request on which the model failed, on the event loop.
    """

    def __init__(
        self, max_batch: int, max_queue: int, inline_rows: int, observer: BatchObserver, failed: Failed
    ) -> None:
        self.max_batch = max_batch
        self.max_queue = max_queue
        self.inline_rows = inline_rows
        self._observer = observer
        self._failed = failed
        self._queue: deque[_Waiting] = deque()
        self._rows_waiting = 0
        self._busy = False
        self._last_batch_was_single = True  # so the next request expects no company either
        self._ran_inline_this_tick = False  # a request ran at once in this turn of the loop
        self._in_thread: list[_Waiting] | None = None  # the batch that the thread is at
        self._closed = False
        self._refusal: Unavailable = ShuttingDown(STOPPING)  # what new calls get once it is closed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inference")

    async def submit(self, call: ModelCall, rows: Array, is_disconnected: IsDisconnected | None = None) -> ModelOutputs:
        """Return the result of `call` for these rows, independently of the other rows of the batch.

        Args:
            call: a function of the engine; equal functions share batches.
            rows: (n, ...), n >= 1.
            is_disconnected: tells whether the client has disconnected; called only if the request waited ASK_AFTER_S.

        Raises:
            Overloaded: too many rows are waiting already.
            Unavailable: the batcher was closed (ShuttingDown) or aborted.
            EngineError: the model failed on these rows.
            CallerLeft: the client disconnected before the model call.
        """
        self._admit(len(rows))
        if self.can_run_inline(len(rows)):
            return self._run(call, rows)
        if len(rows) <= self.max_batch:
            return await self._enqueue(call, rows, is_disconnected)
        starts = range(0, len(rows), self.max_batch)
        parts = [self._enqueue(call, rows[start : start + self.max_batch], is_disconnected) for start in starts]
        try:
            return _joined([await part for part in parts])
        finally:
            for part in parts:  # after a failure, what is still queued is dropped before it costs a model call
                if not part.cancel() and not part.cancelled():
                    part.exception()  # read, so that asyncio does not report it as overlooked

    def can_run_inline(self, rows: int) -> bool:
        """Return whether a request of so many rows would run immediately, on the event loop."""
        return (
            self._last_batch_was_single
            and not self._busy
            and not self._ran_inline_this_tick
            and rows <= self.inline_rows
        )

    def _run(self, call: ModelCall, rows: Array) -> ModelOutputs:
        """Run the call immediately, which saves a lone request two iterations of the event loop."""
        self._ran_inline_this_tick = True
        asyncio.get_running_loop().call_soon(self._end_turn)
        (outcome,), took_s = _timed(call, (rows,))
        self._observer.batch(len(rows), (0.0,), took_s)
        if isinstance(outcome, DigitVaeError):
            self._failed(outcome)
            raise outcome
        return outcome

    def _end_turn(self) -> None:
        self._ran_inline_this_tick = False

    def _admit(self, rows: int) -> None:
        if self._closed:
            raise type(self._refusal)(self._refusal.detail)  # a new one: an exception keeps where it was raised
        if self._rows_waiting + rows > self.max_queue:
            self._observer.rejected()
            raise Overloaded("Too many requests wait for the model. Try again in a second.")

    def _enqueue(
        self, call: ModelCall, rows: Array, is_disconnected: IsDisconnected | None
    ) -> asyncio.Future[ModelOutputs]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[ModelOutputs] = loop.create_future()
        self._queue.append(_Waiting(call, rows, answer, is_disconnected, time.perf_counter()))
        self._rows_waiting += len(rows)
        if not self._busy:
            self._wake(loop)
        return answer

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start a batch: at once, or in the loop's next iteration if it may run inline, so that others can join."""
        if self.inline_rows:
            self._busy = True
            loop.call_soon(self._start)
        else:
            self._start()

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        now = time.perf_counter()
        batch = self._next_batch(now)
        self._observer.queued(self._rows_waiting)
        self._busy = bool(batch)
        if not batch:
            return
        call, rows = batch[0].call, [waiting.rows for waiting in batch]
        waits = [now - waiting.since for waiting in batch]
        if sum(map(len, rows)) <= self.inline_rows:
            self._finish(batch, waits, _timed(call, rows))
            return
        self._in_thread = batch
        running = self._thread.submit(_timed, call, rows)
        running.add_done_callback(lambda done: loop.call_soon_threadsafe(self._collect, batch, waits, done))

    def _next_batch(self, now: float) -> list[_Waiting]:
        """Remove and return the oldest request and all that can join it, in order; drop abandoned ones."""
        batch: list[_Waiting] = []
        others: deque[_Waiting] = deque()
        size = 0
        for waiting in self._queue:
            if waiting.abandoned(now):
                self._drop(waiting)
            elif batch and (waiting.call != batch[0].call or size + len(waiting.rows) > self.max_batch):
                others.append(waiting)
            else:
                batch.append(waiting)
                size += len(waiting.rows)
        self._queue = others
        self._rows_waiting -= size
        return batch

    def _drop(self, waiting: _Waiting) -> None:
        self._rows_waiting -= len(waiting.rows)
        self._observer.abandoned()
        if not waiting.answer.done():
            waiting.answer.set_exception(CallerLeft("The caller hung up before the model got to its request."))

    def _collect(self, batch: list[_Waiting], waits: list[float], done: Future[tuple[list[Outcome], float]]) -> None:
        self._in_thread = None
        self._finish(batch, waits, done.result())

    def _finish(self, batch: list[_Waiting], waits: list[float], done: tuple[list[Outcome], float]) -> None:
        outcomes, took_s = done
        self._busy = False
        self._last_batch_was_single = len(batch) == 1
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(outcome, DigitVaeError):
                self._failed(outcome)
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result(outcome)
        self._observer.batch(sum(len(waiting.rows) for waiting in batch), waits, took_s)
        if self._queue:
            self._wake(asyncio.get_running_loop())

    async def wait_idle(self) -> None:
        """Wait until the call that runs in the thread has ended.

        Requests cancelled before that are never run, so the caller may free their model afterwards.
        """
        await asyncio.wrap_future(self._thread.submit(lambda: None))

    def running_batch(self) -> object | None:
        """Return a token identifying the batch in the thread, or None if it is idle. Thread-safe."""
        return self._in_thread

    def abort(self, error: Unavailable) -> None:
        """Fail all waiting requests and those of the running call, which will not return; refuse new ones."""
        self._refusal, self._closed = error, True
        for waiting in (*(self._in_thread or ()), *self._queue):
            if not waiting.answer.done():
                waiting.answer.set_exception(error)
        self._queue.clear()
        self._rows_waiting = 0

    async def close(self) -> None:
        """Refuse new requests, answer the waiting ones, and end the thread."""
        self._closed = True
        while self._busy:
            await asyncio.sleep(0.005)
        self._thread.shutdown()


def _timed(call: ModelCall, parts: Sequence[Array]) -> tuple[list[Outcome], float]:
    """Return the outcomes of `_infer`, and the seconds it took."""
    started = time.perf_counter()
    outcomes = _infer(call, parts)
    return outcomes, time.perf_counter() - started


def _infer(call: ModelCall, parts: Sequence[Array]) -> list[Outcome]:
    """Return one outcome per part. If the batch fails, run each part alone, so that only faulty ones fail."""
    try:
        return list(_call(call, parts))
    except Exception as exc:
        if len(parts) == 1:
            return [_as_engine_error(exc)]
    return [_infer(call, [part])[0] for part in parts]


def _call(call: ModelCall, parts: Sequence[Array]) -> list[ModelOutputs]:
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
    results = call(rows)
    if any(len(result) != len(rows) for result in results):
        raise EngineError(f"The model answered {len(rows)} rows with {[len(r) for r in results]}.")
    if not all(np.isfinite(result).all() for result in results if result.dtype.kind == "f"):
        raise EngineError("The model answered with numbers that are not finite.")
    if len(parts) == 1:
        return [results]
    if len(parts) == len(rows):  # a row each, as under load: by iteration, which is cheaper than slicing
        return list(zip(*(result[:, np.newaxis] for result in results), strict=True))
    ends = np.cumsum([len(part) for part in parts])
    return [tuple(result[end - len(part) : end] for result in results) for part, end in zip(parts, ends, strict=True)]


def _joined(results: Sequence[ModelOutputs]) -> ModelOutputs:
    return tuple(np.concatenate(arrays) for arrays in zip(*results, strict=True))


def _as_engine_error(exc: Exception) -> DigitVaeError:
    if isinstance(exc, DigitVaeError):
        return exc
    error = EngineError(f"The model failed: {type(exc).__name__}.")
    error.__cause__ = exc
    return error
