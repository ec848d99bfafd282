"""Threads for what would hold up the event loop: pictures to read or to draw, long answers to write.

service and sources --run--> BoundedExecutor. The model has a thread of its own, in batcher.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.errors import Overloaded

T = TypeVar("T")

THREADS = 2
MAX_WAITING = 128  # at ten milliseconds each, the last one waits less than a second


class BoundedExecutor:
    """A bounded queue before a few threads. Use it on one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pictures")
        self._under_way = 0  # or waiting

    async def run(self, work: Callable[[], T]) -> T:
        """Call `work` in a thread and return its result.

        Raises:
            Overloaded: too much waits already.
        """
        if self._under_way >= MAX_WAITING:
            raise Overloaded("Too many pictures wait to be read or drawn. Try again in a second.")
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """Finish what is under way, and end the threads."""
        self._threads.shutdown()
