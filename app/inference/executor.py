"""Threads for work that would block the event loop: decoding and drawing pictures, serializing long responses.

service and inputs --run--> BoundedExecutor. The model has a thread of its own, in batcher.py.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.errors import Overloaded

T = TypeVar("T")

THREADS = 2
MAX_WAITING = 128  # at ten milliseconds each, the last one waits less than a second


class BoundedExecutor:
    """Threads behind a bounded queue, by default two. Must be used on one event loop."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="pictures")
        self._under_way = 0  # or waiting

    async def run(self, work: Callable[[], T], abandoned: threading.Event | None = None) -> T:
        """Call `work` in a thread and return its result.

        Args:
            work: what is done.
            abandoned: is set if nobody waits for the result any more; `work` may look at it between its steps.

        Raises:
            Overloaded: MAX_WAITING calls run or wait already.
        """
        if self._under_way >= MAX_WAITING:
            raise Overloaded("Too many pictures wait to be read or drawn. Try again in a second.")
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except asyncio.CancelledError:
            if abandoned is not None:
                abandoned.set()
            raise
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """Drop the waiting calls, and end the threads after the running ones, without waiting for them."""
        self._threads.shutdown(wait=False, cancel_futures=True)
