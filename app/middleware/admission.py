"""A limit of concurrent requests, with a deadline for each."""

import asyncio
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import http_message
from app.errors import BodyTimeout, DeadlineExceeded, Overloaded, Unavailable
from app.middleware.body_limit import BodyBrokenOff
from app.middleware.deadlines import Deadlines
from app.telemetry.metrics import Metrics
from app.telemetry.request_id import RequestIds

# What must be answered however much is under way.
ALWAYS = frozenset(
    {"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}
    | {f"/v2/models/{name}/ready" for name in ("encoder", "generator")}
)
MIN_LIMIT = 8
RECOVERY_STEP = 0.1  # for every ten that were answered one more is let in, to see whether there is room again


class Admission:
    """The requests under way, and how many there may be.

    Args:
        metrics: counts refusals.
        max_requests: maximum number of concurrent requests.
        timeout_s: time limit of a request, in seconds.
    """

    def __init__(self, metrics: Metrics, max_requests: int, timeout_s: float) -> None:
        self.under_way = Deadlines(timeout_s)
        self._metrics = metrics
        self._ids = RequestIds()
        self._max_requests = max_requests
        self._limit: float = max_requests

    def has_room(self, tasks: int = 0) -> bool:
        """Return whether a request would be admitted now, beside `tasks` that were made and may not have begun."""
        return max(len(self.under_way), tasks) < self._limit

    def refusal(self) -> Overloaded:
        """Count a refused request, and return its error."""
        self._metrics.rejected()
        return Overloaded("Too many requests are under way. Try again in a second.")

    def refusal_message(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Count a request that is refused before it has a task, and return the complete HTTP message that says so."""
        self._metrics.request(path, Overloaded.status, 0.0)
        return http_message(self.refusal(), path, self._ids.of({"headers": headers}), keep_alive=True)

    def raise_limit(self) -> None:
        """Let more in, up to the maximum: a request was answered."""
        if self._limit < self._max_requests:
            self._limit += RECOVERY_STEP

    def lower_limit(self) -> None:
        """Lower the limit to the other requests under way, at least MIN_LIMIT: this one cost work in vain."""
        self._limit = min(self._max_requests, max(MIN_LIMIT, len(self.under_way) - 1))


class AdmissionLimit:
    """ASGI middleware that refuses requests beyond a limit, before their bodies are read, and cancels late ones."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            Overloaded: there are too many.
            DeadlineExceeded: it was not answered in time.
            BodyTimeout: its body was not there in time.
        """
        if scope["path"] in ALWAYS:
            await self._app(scope, receive, send)
            return
        if not self._admission.has_room():
            raise self._admission.refusal()
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # a request always has one
        under_way = self._admission.under_way
        under_way.begin(task)
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError as cancelled:
            if not under_way.ran_out(task):
                raise
            raise self._late(cancelled) from None
        except Unavailable:
            self._admission.lower_limit()
            raise
        except Exception:
            self._admission.raise_limit()
            raise
        else:
            self._admission.raise_limit()
        finally:
            under_way.pop(task, None)

    def _late(self, cancelled: asyncio.CancelledError) -> DeadlineExceeded | BodyTimeout:
        timeout_s = self._admission.under_way.timeout_s
        if isinstance(cancelled, BodyBrokenOff):
            return BodyTimeout(f"The body did not come in {timeout_s:g} s.")
        self._admission.lower_limit()
        return DeadlineExceeded(f"The request was not answered in {timeout_s:g} s.")
