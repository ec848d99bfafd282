"""How the process ends: at once, past the interpreter's own way out.

Python's way out runs the destructors of every native library, TensorFlow's among them, while some of its threads are
still about: a crash there would make a failure of a stop that answered everybody. Nothing is left to be done by then:
answers are sent, the model's session is closed, the kernel takes back the rest. Where a model call hangs, that way out
would wait for it.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
from typing import NoReturn

FAULT = os.EX_SOFTWARE  # 70, of sysexits.h; uvicorn stops all workers if one ends with its STARTUP_FAILURE, 3

LAST_WORDS_S = 5

log = logging.getLogger(__name__)


def exit_process(code: int) -> NoReturn:
    """End the process, from any thread, with this exit code. What was logged and printed is written out first."""
    signal.alarm(LAST_WORDS_S)  # ends the process if that blocks, in a pipe that nobody reads for instance
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    os._exit(code)


def exit_for_restart(reason: str, show_threads: bool = False) -> NoReturn:
    """End the process for a fault that a new one is free of; whoever started it starts it again.

    That is uvicorn's supervisor where there are several workers, and a container's restart policy or an init system
    where there is one.
    """
    signal.alarm(LAST_WORDS_S)
    if show_threads and sys.__stderr__ is not None:
        faulthandler.dump_traceback(sys.__stderr__)
    log.critical("%s; leaving with exit code %d, to be started anew", reason, FAULT)
    exit_process(FAULT)
