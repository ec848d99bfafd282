"""Deadlines of concurrent operations, with one timer for all of them: most end long before their deadline.

A timer per request costs more than all of its other bookkeeping. Here a request costs one dictionary entry, and the
event loop wakes up for the oldest one only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")


class Deadlines(Generic[K]):
    """Calls `on_timeout` with each key that is not released within `timeout_s` seconds of `watch`.

    It is not thread-safe: use it on one event loop.
    """

    def __init__(self, timeout_s: float, on_timeout: Callable[[K], None]) -> None:
        self.timeout_s = timeout_s
        self._on_timeout = on_timeout
        self._due: dict[K, float] = {}  # in the order of arrival, hence of deadlines
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def watch(self, key: K) -> None:
        """Start the clock for `key`."""
        loop = asyncio.get_running_loop()
        self._due[key] = loop.time() + self.timeout_s
        if self._timer is None:
            self._timer = loop.call_later(self.timeout_s, self._check)

    def release(self, key: K) -> None:
        """Stop the clock for `key`; do nothing if it has already run out."""
        self._due.pop(key, None)

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time() + 1e-3  # timers may fire a clock tick early
        late = []
        for key, due in self._due.items():
            if due > now:
                self._timer = loop.call_at(due, self._check)
                break
            late.append(key)
        for key in late:
            del self._due[key]
            self._on_timeout(key)
