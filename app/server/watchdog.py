"""Notices a model call that never returns: a thread beside the event loop, for a loop that is stuck cannot look.

It looks every so often whether the loop still turns and whether the inference thread is still at the same batch. The
ones it watches do nothing for it. It counts its own looks and not the time, so a process that was stopped (SIGSTOP, a
frozen container, a suspended machine) does not seem stuck when it goes on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

LOOKS = 10  # that a call must outlast


class Watchdog:
    """Watches while it is entered, from the event loop that is to be watched.

    Args:
        limit_s: longest time, in seconds, that a call or a turn of the loop may take; 0 watches nothing.
        running_batch: what the inference thread is at; another object for each batch, None if it is idle.
        unready: called on the loop, if that still turns, once something is stuck.
        exit_process: called in the watchdog's thread, a moment later, with a sentence that says why.
        last_words_s: that moment, in seconds: for answers to those who wait, and for balancers to look elsewhere.
    """

    def __init__(
        self,
        limit_s: float,
        running_batch: Callable[[], object | None],
        unready: Callable[[], object],
        exit_process: Callable[[str], object],
        last_words_s: float = 1.0,
    ) -> None:
        self._limit_s = limit_s
        self._running_batch = running_batch
        self._unready = unready
        self._exit_process = exit_process
        self._last_words_s = last_words_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if self._limit_s:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def _watch(self) -> None:
        turned = threading.Event()
        turned.set()
        batch: object | None = None
        stuck_turns = stuck_batches = 0
        while not self._ended.wait(self._limit_s / LOOKS):
            stuck_turns = 0 if turned.is_set() else stuck_turns + 1
            if turned.is_set():
                turned.clear()
                self._loop.call_soon_threadsafe(turned.set)
            previous, batch = batch, self._running_batch()
            stuck_batches = stuck_batches + 1 if batch is not None and batch is previous else 0
            if max(stuck_turns, stuck_batches) >= LOOKS:
                self._leave("the event loop" if stuck_turns >= LOOKS else "a model call")
                return

    def _leave(self, what: str) -> None:
        # Nothing is logged here: a log that nobody reads may be what everything is stuck at.
        self._loop.call_soon_threadsafe(self._unready)
        self._ended.wait(self._last_words_s)
        self._exit_process(f"{what} has been stuck for more than {self._limit_s:g} s")
