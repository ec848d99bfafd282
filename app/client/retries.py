"""Whether a call is sent again, and when: pure arithmetic on outcomes and times."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

import httpx

from app.client.errors import ConnectionFailed, InvalidInput, TimedOut

AGAIN = (429, 503)


class Clock(Protocol):
    """Time, which tests make up."""

    def now(self) -> float:
        """Seconds since some moment."""

    def wait(self, seconds: float) -> None:
        """Block the thread."""

    async def wait_async(self, seconds: float) -> None:
        """Let other tasks run."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """See Clock."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """See Clock."""
        time.sleep(seconds)

    async def wait_async(self, seconds: float) -> None:
        """See Clock."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Retries:
    """How often and how long one request is tried.

    Attributes:
        attempts: most times it is sent, the first included; 1 never tries again.
        total_s: most seconds from the first sending to the last.
        first_s: seconds to wait at least after the first failure, where the service does not say; each further wait
            is twice as long, and each is drawn from the upper half, so that callers do not come back all at once.
        spread: what draws, uniformly from [0, 1).
        clock: what tells the time.
    """

    attempts: int = 5
    total_s: float = 60.0
    first_s: float = 0.2
    spread: Callable[[], float] = random.random
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.total_s < 0 or self.first_s < 0:
            raise InvalidInput("attempts is at least 1; total_s and first_s are not negative.")


class Attempts:
    """The tries of one request. Begins when it is made."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._started = retries.clock.now()
        self._failed = 0

    def wait(self, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """Seconds to wait before the request is sent again; None if what came is the last word."""
        if not _may_change(outcome):
            return None
        self._failed += 1
        backoff = self._retries.first_s * 2.0 ** (self._failed - 1) * (1 + self._retries.spread())
        asked = _retry_after(outcome)
        seconds = backoff if asked is None else asked + self._retries.first_s * self._retries.spread()
        spent = self._retries.clock.now() - self._started
        if self._failed >= self._retries.attempts or spent + seconds > self._retries.total_s:
            return None
        return seconds


def connection_error(error: httpx.TransportError, url: str) -> ConnectionFailed:
    """Convert an error of httpx."""
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(f"{url} did not answer in time ({type(error).__name__}).")
    return ConnectionFailed(f"{url} cannot be reached: {error or type(error).__name__}")


def _may_change(outcome: httpx.Response | httpx.TransportError) -> bool:
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in AGAIN
    # Who did not answer a whole request in time has more work than it can do: sending it again adds to that.
    slow = isinstance(outcome, httpx.ReadTimeout | httpx.WriteTimeout)
    wrong = isinstance(outcome, httpx.UnsupportedProtocol | httpx.LocalProtocolError)
    return not slow and not wrong


def _retry_after(outcome: httpx.Response | httpx.TransportError) -> float | None:
    """Retry-After in seconds, of either form (RFC 9110, 10.2.3); None if it is missing or neither."""
    if not isinstance(outcome, httpx.Response):
        return None
    text = outcome.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
