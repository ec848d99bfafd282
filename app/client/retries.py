"""Whether and when to retry a request, computed from outcomes and times."""

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
    """A clock, which tests replace."""

    def now(self) -> float:
        """Return the seconds since some fixed moment."""

    def wait(self, seconds: float) -> None:
        """Block the thread for so many seconds."""

    async def wait_async(self, seconds: float) -> None:
        """Suspend the task for so many seconds."""


class SystemClock:
    """The system's monotonic clock."""

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
    """How often and for how long a request is retried.

    Attributes:
        attempts: maximum number of attempts, including the first; 1 disables retries.
        total_s: maximum time in seconds from the first attempt to the start of the last.
        first_s: minimum wait in seconds after the first failure, unless the service sends Retry-After; it doubles with
            every failure. Each wait is multiplied by a random factor in [1, 2), so that clients do not retry at once.
        spread: returns a random number, uniform in [0, 1).
        clock: tells the time.
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
    """The attempts of one request. The time starts when it is constructed."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._started = retries.clock.now()
        self._failed = 0

    def wait(self, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """Return the seconds to wait before the next attempt, or None if the outcome is final."""
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
    """Convert a transport error of httpx to one of the client."""
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
    """Return Retry-After in seconds, from either form (RFC 9110, 10.2.3); None if it is missing or invalid."""
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
