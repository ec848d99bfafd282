"""Detect a hanging model call or event loop, in a separate thread, since a blocked loop cannot check itself.

The thread checks at intervals whether the event loop still runs and whether the inference thread is still at the same
batch. The watched threads do no work for it. It counts its own checks and not the time, so a process that was stopped
(SIGSTOP, a frozen container, a suspended machine) does not seem to hang when it continues.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Self

LOOKS = 10  # that a call must outlast


class Watchdog:
    """Watches the event loop on which it is entered, and the model calls, until it is left.

    Args:
        limit_s: time limit, in seconds, of a model call or one iteration of the loop; 0 disables the watchdog.
        running_batch: returns a token identifying the running batch, or None if idle.
        unready: called on the loop, if that still runs, once something hangs.
        exit_process: called in the watchdog's thread, `last_words_s` seconds later, with the reason as a sentence.
        last_words_s: delay, in seconds, in which waiting requests are answered and load balancers notice.
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

    def __exit__(self, *failure: object) -> None:
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
