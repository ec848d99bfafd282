"""Keeps the cores from halting while they are measured.

A core without work halts, and in a virtual machine its host may take milliseconds to wake it: what one client gets is
then the host's, and not the server's. A loop of the lowest policy, SCHED_IDLE, runs only when nothing else would.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_LOOP = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(100_000):
        pass
"""


@contextmanager
def cores_awake() -> Iterator[None]:
    """Run one such loop per core during the block."""
    with ExitStack() as around:
        for _ in os.sched_getaffinity(0):
            loop = around.enter_context(subprocess.Popen([sys.executable, "-I", "-S", "-c", _LOOP]))
            around.callback(loop.kill)
        yield
