"""`AsyncClient`: the same methods as `Client`, for asyncio."""

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from app.client import answers, calls, plan
from app.client.calls import Call, Fit, Invert
from app.client.errors import BadAnswer, Refused
from app.client.inputs import Batch, Images, Sending, batches, count, latents
from app.client.progress import Progress, showing
from app.client.results import (
    Drawing,
    Encoding,
    FloatArray,
    Generated,
    Reconstruction,
    joined_digits,
    joined_encodings,
    joined_reconstructions,
)
from app.client.retries import Attempts, Retries

R = TypeVar("R")
T = TypeVar("T")


class AsyncClient:
    """A client of a running service, for asyncio. Takes the arguments of `Client`. Tasks may share one."""

    def __init__(  # noqa: PLR0913 - what a caller may set, each by its name
        self,
        url: str = plan.DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = plan.TIMEOUT_S,
        retries: Retries | None = None,
        sending: Sending | None = None,
        headers: dict[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self._retries = retries or Retries()
        self._sending = sending or Sending()
        self._http = httpx.AsyncClient(**plan.options(url, headers, api_key, timeout_s), transport=transport)

    async def encode(
        self, images: Images, *, invert: Invert = "auto", fit: Fit = "auto", progress: Progress = False
    ) -> Encoding:
        """See Client.encode."""
        parts = await self._over(
            images, lambda b: calls.encode(b, invert, fit), answers.encoding, ("encoding", progress)
        )
        return joined_encodings(parts)

    async def reconstruct(
        self, images: Images, *, invert: Invert = "auto", fit: Fit = "auto", progress: Progress = False
    ) -> Reconstruction:
        """See Client.reconstruct."""
        parts = await self._over(
            images, lambda b: calls.reconstruct(b, invert, fit), answers.reconstruction, ("reconstructing", progress)
        )
        return joined_reconstructions(parts)

    async def generate(
        self, z: Any = None, *, sample: int | None = None, seed: int | None = None, progress: Progress = False
    ) -> Generated:
        """See Client.generate."""
        plan.one_source(z, sample, seed)
        if sample is not None:
            return answers.sampled(await self._ask(calls.sample(sample, seed)), sample)
        points = latents(z)

        async def at(piece: FloatArray) -> Generated:
            return answers.generated(await self._ask(calls.generate(piece)), piece)

        with showing(progress, "generating", len(points)) as more:
            return joined_digits(await _in_order(at, plan.pieces(points), self._sending.in_flight, more))

    async def manifold(
        self, n: int = 15, *, scale: int = 1, low: float = 0.05, high: float = 0.95, dims: tuple[int, int] = (0, 1)
    ) -> Drawing:
        """See Client.manifold."""
        return answers.drawing(await self._ask(calls.manifold(n, scale, low, high, dims)))

    async def model(self) -> dict[str, Any]:
        """See Client.model."""
        return answers.manifest(await self._ask(calls.model()))

    async def wait_ready(self, timeout_s: float = 60.0) -> None:
        """See Client.wait_ready."""
        clock = self._retries.clock
        deadline = clock.now() + timeout_s
        while True:
            outcome = await self._once(calls.ready(), plan.probe_s(deadline - clock.now()))
            if plan.is_ready(outcome):
                return
            if clock.now() + plan.READY_WAIT_S > deadline:
                raise plan.not_ready(outcome, self.url, timeout_s)
            await clock.wait_async(plan.READY_WAIT_S)

    async def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _over(
        self,
        images: Images,
        call: Callable[[Batch], Call],
        read: Callable[[httpx.Response, int], R],
        shown: tuple[str, Progress],
    ) -> list[R]:
        """Return the results for all images, in order: one per batch, or several for a batch that was halved."""
        what, progress = shown

        async def of(batch: Batch) -> list[R]:
            return await self._of_batch(batch, call, read)

        with showing(progress, what, count(images) if progress else None) as more:
            found = await _in_order(of, batches(images, self._sending), self._sending.in_flight, more)
        return list(itertools.chain.from_iterable(found))

    async def _of_batch(
        self, batch: Batch, call: Callable[[Batch], Call], read: Callable[[httpx.Response, int], R]
    ) -> list[R]:
        try:
            return [read(await self._ask(call(batch)), len(batch))]
        except Refused as error:
            if not plan.may_be_halved(error, batch):
                raise plan.placed(error, batch) from None
        first, second = batch.halves()
        return await self._of_batch(first, call, read) + await self._of_batch(second, call, read)

    async def _ask(self, call: Call) -> httpx.Response:
        attempts = Attempts(self._retries)
        while True:
            outcome = await self._once(call)
            seconds = attempts.wait(outcome)
            if seconds is None:
                return plan.judged(outcome, self.url)
            await self._retries.clock.wait_async(seconds)

    async def _once(self, call: Call, timeout_s: float | None = None) -> httpx.Response | httpx.TransportError:
        try:
            return await self._http.request(**plan.arguments(call, timeout_s))
        except httpx.TransportError as error:
            return error
        except httpx.DecodingError as exc:
            raise BadAnswer(f"The answer of {self.url} cannot be decoded: {exc}") from exc


async def _in_order(
    work: Callable[[T], Coroutine[Any, Any, R]], items: Iterator[T], most: int, done: Callable[[int], None]
) -> list[R]:
    """Apply `work` to every item, at most `most` at once. Return the results in order.

    Call `done` with the length of each finished item.
    """
    results: list[R] = []
    waiting: deque[tuple[T, asyncio.Task[R]]] = deque()

    async def finish() -> None:
        item, task = waiting[0]
        results.append(await task)
        waiting.popleft()
        done(_length(item))

    try:
        # The next item may be made of files: they are read beside the loop.
        while (item := await asyncio.to_thread(next, items, None)) is not None:
            waiting.append((item, asyncio.create_task(work(item))))
            if len(waiting) >= most:
                await finish()
        while waiting:
            await finish()
    finally:
        await _cancelled([task for _, task in waiting])
    return results


async def _cancelled(tasks: list[asyncio.Task[R]]) -> None:
    for task in tasks:
        task.cancel()
    left: Awaitable[Any] = asyncio.gather(*tasks, return_exceptions=True)
    await left


def _length(item: Any) -> int:
    return len(item)
