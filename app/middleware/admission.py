"""ASGI middleware around FastAPI: request ids, a limit of concurrent requests, deadlines, metrics and short cuts.

uvicorn -> AdmissionLimit -> a short cut (plain form of a frequent request), or FastAPI (every other request)
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problems
from app.errors import BodyTimeout, DeadlineExceeded, DigitVaeError, Overloaded
from app.middleware.body_clock import BodyBrokenOff
from app.middleware.deadlines import Deadlines
from app.telemetry.metrics import Metrics
from app.telemetry.request_id import HEADER as REQUEST_ID
from app.telemetry.request_id import RequestIds, id_of

log = logging.getLogger(__name__)

# Refusals a request and says with which status, or returns None without having touched it.
ShortCut = Callable[[Scope, Receive, Send], Awaitable[int | None]]
# The same refusal as a problem document, and as the serving protocols have it.
Refusals = dict[bool, tuple[Message, Message]]

# What must be answered however much is under way.
ALWAYS = frozenset(
    {"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}
    | {f"/v2/models/{name}/ready" for name in ("encoder", "generator")}
)
MIN_LIMIT = 8
RECOVERY_STEP = 0.1  # for every ten that were answered one more is let in, to see whether there is room again
NO_ANSWER = 0  # counts as a status of "other": the caller hung up


class AdmissionLimit:
    """ASGI middleware that limits concurrent requests, cancels late ones, and counts all of them.

    Args:
        app: answers the requests that have no short cut.
        short_cuts: handlers of frequent requests in their plain form, by method and path.
        metrics: counts the requests.
        max_requests: maximum number of concurrent requests; further ones get a 503 before their body is read.
        timeout_s: time limit of a request, in seconds. A late request is cancelled and answered with 503, or with 408
            if it waited for its body.
    """

    def __init__(
        self,
        app: ASGIApp,
        short_cuts: Mapping[tuple[str, str], ShortCut],
        metrics: Metrics,
        max_requests: int,
        timeout_s: float,
    ) -> None:
        self.app = app
        self._short_cuts = short_cuts
        self.metrics = metrics
        self.ids = RequestIds()
        self._max_requests = max_requests
        self._limit: float = max_requests
        self._under_way: Deadlines[asyncio.Task[object]] = Deadlines(timeout_s, self._expire)
        self._expired: set[asyncio.Task[object]] = set()
        self._refusal = _messages(Overloaded("Too many requests are under way. Try again in a second."))
        self._too_late = _messages(DeadlineExceeded(f"The request was not answered in {timeout_s:g} s."))
        self._no_body = _messages(BodyTimeout(f"The body did not come in {timeout_s:g} s."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and count it by route, status and duration."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status: int | None = NO_ANSWER
        answer = _Answer(send, self.ids.name(scope))
        try:
            if scope["path"] in ALWAYS:
                status = await self._long_way(scope, receive, answer)
            elif not self.has_room():
                self.metrics.rejected()
                status = await _send(self._refusal, scope, answer.send_noted)
            else:
                status = await self._in_time(scope, receive, answer)
                self._adapt_limit(status)
        except Exception:
            status = 500
            if answer.status != NO_ANSWER:
                raise  # Starlette's outermost layer has answered
            log.exception("%s %s", scope["method"], scope["path"])
            await problems.internal_error(scope["path"])(scope, receive, answer.send_noted)
        finally:
            self.metrics.request(_route(scope), status or NO_ANSWER, time.perf_counter() - started)

    def has_room(self) -> bool:
        """Return whether another request would be admitted."""
        return len(self._under_way) < self._limit

    def refused(self, path: str, request_id: bytes) -> tuple[Message, Message]:
        """Count a rejected request and return its 503; called before the request has a task."""
        self.metrics.rejected()
        self.metrics.request(path, self._refusal[False][0]["status"], 0.0)
        return problems.with_request_id(*self._refusal[False], request_id.decode("ascii"))

    def _adapt_limit(self, status: int) -> None:
        """Lower the limit after a 503 from inside, which cost work in vain; else raise it by RECOVERY_STEP.

        The lowered limit is the number of requests that are still under way, at least MIN_LIMIT.
        """
        if status == 503:
            self._limit = min(self._max_requests, max(MIN_LIMIT, len(self._under_way)))
        elif self._limit < self._max_requests:
            self._limit += RECOVERY_STEP

    async def _in_time(self, scope: Scope, receive: Receive, answer: _Answer) -> int:
        task = asyncio.current_task()
        assert task is not None
        self._under_way.watch(task)
        try:
            short_cut = self._short_cuts.get((scope["method"], scope["path"]))
            status = await short_cut(scope, receive, answer.send_noted) if short_cut else None
            return await self._long_way(scope, receive, answer) if status is None else status
        except asyncio.CancelledError as exc:
            if task not in self._expired:
                raise
            self._expired.discard(task)
            task.uncancel()
            late = self._no_body if isinstance(exc, BodyBrokenOff) else self._too_late
            return answer.status or await _send(late, scope, answer.send_noted)
        finally:
            self._under_way.release(task)

    async def _long_way(self, scope: Scope, receive: Receive, answer: _Answer) -> int:
        await self.app(scope, receive, answer.send_noted)
        return answer.status

    def _expire(self, task: asyncio.Task[object]) -> None:
        self._expired.add(task)
        task.cancel()


class _Answer:
    """The response channel of one request: adds the request id and records the status."""

    __slots__ = ("request_id", "send", "status")

    def __init__(self, send: Send, request_id: bytes) -> None:
        self.send = send
        self.request_id = request_id
        self.status = NO_ANSWER

    async def send_noted(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            # A new list: the old one may belong to an answer that is kept.
            message["headers"] = [*message["headers"], (REQUEST_ID, self.request_id)]
        await self.send(message)


def _route(scope: Scope) -> str:
    """Return the declared path, so that metrics have a series per route and not per address."""
    declared = getattr(scope.get("route"), "path", None)
    return str(declared or scope["path"])


def _messages(error: DigitVaeError) -> Refusals:
    """Render the responses for an error once: a rejection must be cheaper than any request."""
    of_no_request = contextvars.Context()
    responses = {protocol: of_no_request.run(problems.problem_response, error, protocol) for protocol in (False, True)}
    return {
        protocol: (
            {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers},
            {"type": "http.response.body", "body": response.body},
        )
        for protocol, response in responses.items()
    }


async def _send(answers: Refusals, scope: Scope, send: Send) -> int:
    protocol = problems.in_protocol(scope["path"])
    start, body = answers[protocol]
    if not protocol:
        start, body = problems.with_request_id(start, body, id_of(scope))
    await send(dict(start))
    await send(body)
    return int(start["status"])
