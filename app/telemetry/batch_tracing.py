"""A batcher that records the waiting time and the model call of each request as OpenTelemetry spans.

It replaces batcher.Batcher only if traces are enabled, so that without them nothing is checked or stored per request.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from opentelemetry import context, trace
from opentelemetry.context import Context

from app.inference.batcher import Array, Batcher, IsDisconnected, ModelCall, ModelOutputs, Outcome


class _Asked(NamedTuple):
    """The time at which a request was enqueued, in nanoseconds since 1970, and the context of its span."""

    at_ns: int
    below: Context


class TracedBatcher(Batcher):
    """A Batcher that adds two child spans to a request's span, `queue` and `model`, with the size of the batch.

    All requests of a batch share the times of its model call. A request that runs at once has no span `queue`, because
    it did not wait.

    Args:
        tracer: creates the spans.
        batcher: the arguments of Batcher.
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
    """Return the span attributes: the rows of a request, and the rows and requests of its batch."""
    return {
        "digit_vae.rows": rows,
        "digit_vae.batch.rows": sum(map(len, parts)),
        "digit_vae.batch.requests": len(parts),
    }


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
