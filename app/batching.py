"""Requests that arrive together share a model call. Between service, on the event loop, and the engine's thread.

There is no timer. A lone request runs at once; what arrives while the model is busy becomes the next batch, so
that batches grow exactly as load does. Calls are grouped by the function called: a batch never mixes encoding
with generating, nor two versions of the model.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import DeadlineExceeded, DigitVaeError, EngineError, Overloaded, ShuttingDown

Array = npt.NDArray[Any]
Rows = tuple[Array, ...]  # arrays of equal length, a row per row of the input
Call = Callable[[Any], Rows]
Outcome = Rows | DigitVaeError


@dataclass(eq=False)
class _Waiting:
    call: Call
    rows: Array
    answer: asyncio.Future[Rows]


class Batcher:
    """Runs model calls one after the other in a thread of their own, many requests to a call.

    Args:
        max_batch: most rows of one call; a longer request is split.
        max_queue: most rows that may wait.
        timeout_s: longest time, in seconds, from arrival to answer.
    """

    def __init__(self, max_batch: int, max_queue: int, timeout_s: float) -> None:
        self.max_batch = max_batch
        self.max_queue = max_queue
        self.timeout_s = timeout_s
        self._queue: deque[_Waiting] = deque()
        self._rows_waiting = 0
        self._busy = False
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inference")

    async def submit(self, call: Call, rows: Array) -> Rows:
        """The call's result for these rows, whatever else was in the batch.

        Args:
            call: a function of the engine; equal functions share batches.
            rows: (n, ...), n >= 1.

        Raises:
            Overloaded: too many rows wait already.
            DeadlineExceeded: the answer did not come in time.
            ShuttingDown: the batcher was closed.
            EngineError: the model failed on these rows.
        """
        if self._closed:
            raise ShuttingDown("The service is stopping. Send the request to another instance, or again later.")
        if self._rows_waiting + len(rows) > self.max_queue:
            raise Overloaded("Too many requests wait for the model. Try again in a second.")
        parts = [
            self._enqueue(call, rows[start : start + self.max_batch]) for start in range(0, len(rows), self.max_batch)
        ]
        try:
            async with asyncio.timeout(self.timeout_s):
                results = await asyncio.gather(*parts)
        except TimeoutError as exc:
            raise DeadlineExceeded(f"The model did not get to the request in {self.timeout_s:g} s.") from exc
        finally:
            for part in parts:
                part.cancel()  # what is still queued is dropped before it costs a model call
        return results[0] if len(results) == 1 else _joined(results)

    def _enqueue(self, call: Call, rows: Array) -> asyncio.Future[Rows]:
        answer: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(call, rows, answer))
        self._rows_waiting += len(rows)
        if not self._busy:
            self._start()
        return answer

    def _start(self) -> None:
        batch = self._next_batch()
        if not batch:
            return
        self._busy = True
        loop = asyncio.get_running_loop()
        call, rows = batch[0].call, [waiting.rows for waiting in batch]
        running = self._thread.submit(_infer, call, rows)
        running.add_done_callback(lambda done: loop.call_soon_threadsafe(self._finish, batch, done))

    def _next_batch(self) -> list[_Waiting]:
        """The oldest call and all that can join it, in order; callers that left are dropped."""
        batch: list[_Waiting] = []
        others: deque[_Waiting] = deque()
        size = 0
        for waiting in self._queue:
            if waiting.answer.done():
                self._rows_waiting -= len(waiting.rows)
            elif batch and (waiting.call != batch[0].call or size + len(waiting.rows) > self.max_batch):
                others.append(waiting)
            else:
                batch.append(waiting)
                size += len(waiting.rows)
        self._queue = others
        self._rows_waiting -= size
        return batch

    def _finish(self, batch: list[_Waiting], done: Future[list[Outcome]]) -> None:
        self._busy = False
        for waiting, outcome in zip(batch, done.result(), strict=True):
            if waiting.answer.done():
                continue
            if isinstance(outcome, DigitVaeError):
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result(outcome)
        if self._queue:
            self._start()

    async def close(self) -> None:
        """Refuse new calls, answer what waits, and end the thread."""
        self._closed = True
        while self._busy:
            await asyncio.sleep(0.005)
        self._thread.shutdown()


def _infer(call: Call, parts: Sequence[Array]) -> list[Outcome]:
    """One outcome per part. If the whole batch fails, each part is tried alone: only the guilty one pays."""
    try:
        return list(_call(call, parts))
    except Exception as exc:
        if len(parts) == 1:
            return [_as_engine_error(exc)]
    return [_infer(call, [part])[0] for part in parts]


def _call(call: Call, parts: Sequence[Array]) -> list[Rows]:
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
    results = call(rows)
    if any(len(result) != len(rows) for result in results):
        raise EngineError(f"The model answered {len(rows)} rows with {[len(r) for r in results]}.")
    if len(parts) == 1:
        return [results]
    ends = np.cumsum([len(part) for part in parts])
    return [tuple(result[end - len(part) : end] for result in results) for part, end in zip(parts, ends, strict=True)]


def _joined(results: Sequence[Rows]) -> Rows:
    return tuple(np.concatenate(arrays) for arrays in zip(*results, strict=True))


def _as_engine_error(exc: Exception) -> DigitVaeError:
    if isinstance(exc, DigitVaeError):
        return exc
    error = EngineError(f"The model failed: {type(exc).__name__}.")
    error.__cause__ = exc
    return error
