"""A batcher that tells OpenTelemetry what each request waited for the model, and what the model took.

In place of batching.Batcher where there are traces, so that without them nothing has to be asked or remembered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from opentelemetry import context, trace
from opentelemetry.context import Context

from app.inference.batcher import Array, Batcher, IsDisconnected, ModelCall, ModelOutputs, Outcome


class _Asked(NamedTuple):
    """When a request began to wait, in nanoseconds since 1970, and under which span."""

    at_ns: int
    below: Context


class TracedBatcher(Batcher):
    """A Batcher below whose requests' spans there are two more: `queue` and `model`, with the size of the batch.

    The requests of a batch share the times of its call. What runs at once has no span `queue`, for it did not wait.

    Args:
        tracer: makes the spans.
        batcher: what Batcher takes.
    """

    def __init__(self, tracer: trace.Tracer, *batcher: Any) -> None:
        super().__init__(*batcher)
        self._tracer = tracer
        # Who leaves before the batch vanishes from here with the future.
        self._asked: WeakKeyDictionary[asyncio.Future[ModelOutputs], _Asked] = WeakKeyDictionary()

    def _run(self, call: ModelCall, rows: Array) -> ModelOutputs:
        if not trace.get_current_span().is_recording():
            return super()._run(call, rows)
        with self._tracer.start_as_current_span("model", attributes=_sizes(len(rows), [rows])):
            return super()._run(call, rows)

    def _enqueue(
        self, call: ModelCall, rows: Array, is_disconnected: IsDisconnected | None
    ) -> asyncio.Future[ModelOutputs]:
        answer = super()._enqueue(call, rows, is_disconnected)
        if trace.get_current_span().is_recording():
            self._asked[answer] = _Asked(time.time_ns(), context.get_current())
        return answer

    def _finish(self, batch: list[Any], waits: list[float], done: tuple[list[Outcome], float]) -> None:
        super()._finish(batch, waits, done)
        outcomes, took_s = done
        parts = [waiting.rows for waiting in batch]
        for waiting, wait_s, outcome in zip(batch, waits, outcomes, strict=True):
            if asked := self._asked.pop(waiting.answer, None):
                began = asked.at_ns + _ns(wait_s)
                self._span("queue", asked, asked.at_ns).end(began)
                span = self._span("model", asked, began)
                span.set_attributes(_sizes(len(waiting.rows), parts))
                if isinstance(outcome, Exception):
                    span.record_exception(outcome)
                    span.set_status(trace.StatusCode.ERROR)
                span.end(began + _ns(took_s))

    def _span(self, name: str, asked: _Asked, began_ns: int) -> trace.Span:
        return self._tracer.start_span(name, asked.below, start_time=began_ns)


def _sizes(rows: int, parts: Sequence[Array]) -> dict[str, int]:
    """Of a request and of the batch it is in."""
    return {
        "digit_vae.rows": rows,
        "digit_vae.batch.rows": sum(map(len, parts)),
        "digit_vae.batch.requests": len(parts),
    }


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
