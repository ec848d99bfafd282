"""Concurrent requests in several threads, for long lists given to `Client`."""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

R = TypeVar("R")
T = TypeVar("T")


def in_order(work: Callable[[T], R], items: Iterator[T], most: int, done: Callable[[int], None]) -> list[R]:
    """Apply `work` to every item, at most `most` at once. Return the results in order.

    Call `done` with the length of each finished item. After an error or Ctrl-C the running threads are not awaited;
    their results are discarded.
    """
    first, second = next(items), next(items, None)
    if second is None:  # a thread is dearer than a digit
        results = [work(first)]
        done(_length(first))
        return results
    results = []
    waiting: deque[tuple[T, Future[R]]] = deque()

    def finish() -> None:
        item, future = waiting.popleft()
        results.append(future.result())
        done(_length(item))

    for item in itertools.chain((first, second), items):
        waiting.append((item, _started(work, item)))
        if len(waiting) >= most:
            finish()
    while waiting:
        finish()
    return results


def _started(work: Callable[[T], R], item: T) -> Future[R]:
    """Run `work` in a daemon thread and return its future; the threads of a pool would keep the process from ending."""
    future: Future[R] = Future()

    def run() -> None:
        try:
            future.set_result(work(item))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="digit-vae-client", daemon=True).start()
    return future


def _length(item: Any) -> int:
    return len(item)
