"""Signals: kept away from the threads that compute, and a stop that is announced before it happens.

TensorFlow's matrix product as this service runs it (2.21, without oneDNN operations, see decisions/0007) does not
survive a signal handler on its stack: the heap is damaged, and the process dies ("corrupted size vs. prev_size while
consolidating") or hangs, in one of five stops under load. So all threads that may compute, including the main thread,
block signals, and a thread that does nothing else receives them. Python records a signal there, wakes the event loop,
and runs its handler in the main thread as usual, between two of its own instructions.
"""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from app.inference.service import Service

# What people and supervisors send to a process; not what a thread brings on itself.
SENT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGWINCH)


@contextmanager
def taken_elsewhere() -> Iterator[None]:
    """Block signals in this thread and those it starts during the block; another thread receives them."""
    ended = threading.Event()
    taker = threading.Thread(target=ended.wait, name="signals", daemon=True)
    taker.start()  # before the signals are blocked: a thread begins with the mask of the one that starts it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        ended.set()


@contextmanager
def draining(service: Service, drain_s: float) -> Iterator[None]:
    """Handle SIGTERM during the block: report the service as not ready, and stop the server `drain_s` seconds later.

    The server's own handler closes the port at once, so that a load balancer would notice only by failed connections.
    """
    stop = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(stop):
        yield  # not under a server that handles the signal
        return
    loop = asyncio.get_running_loop()

    def drain(signum: int, frame: FrameType | None) -> None:
        service.draining = True
        if drain_s:
            loop.call_soon_threadsafe(loop.call_later, drain_s, stop, signum, frame)
        else:
            stop(signum, frame)

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)
