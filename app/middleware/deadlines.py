"""Deadlines of concurrent tasks, with one timer for all of them: most end long before their deadline.

A timer per request costs more than all of its other bookkeeping, and asyncio.timeout twice as much. Here a request
costs one dictionary entry, and the event loop wakes up for the oldest one only.
"""

import asyncio
import time
from typing import Any

Task = asyncio.Task[Any]


class Deadlines(dict[Task, float]):
    """When each task began (time.monotonic()), in that order; one that stays for `timeout_s` seconds is cancelled.

    Whoever begins a task removes it when it has ended. It is not thread-safe: use it on one event loop.
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self.timeout_s = timeout_s
        self.ticks = False
        self._late: set[Task] = set()

    def begin(self, task: Task) -> None:
        """Start the clock of a task."""
        self[task] = time.monotonic()
        if not self.ticks:
            self._tick()

    def _tick(self) -> None:
        """Cancel the tasks that are late, and come again when the next one may be."""
        now = time.monotonic() + 1e-3  # timers may fire a clock tick early
        for task in [task for task, since in self.items() if since + self.timeout_s <= now]:
            del self[task]
            self._late.add(task)
            task.cancel()
        self.ticks = bool(self)
        if self.ticks:
            due = next(iter(self.values())) + self.timeout_s
            asyncio.get_running_loop().call_later(due - time.monotonic(), self._tick)

    def ran_out(self, task: Task) -> bool:
        """Return whether the task was cancelled because its time ran out; if so, it is no longer being cancelled."""
        if task not in self._late:
            return False
        self._late.discard(task)
        task.uncancel()
        return True
