"""Terminate the process immediately, skipping interpreter shutdown.

Interpreter shutdown runs the destructors of every native library, including TensorFlow's, while some of its threads
still run. A crash there would make a failure of a stop in which every request was answered. Nothing is left to do by
then: responses are sent, the model's session is closed, and the kernel reclaims the rest. If a model call hangs,
interpreter shutdown would wait for it.
"""

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
    """Terminate the process with this exit code, from any thread, after flushing the log, stdout and stderr."""
    signal.alarm(LAST_WORDS_S)  # ends the process if that blocks, in a pipe that nobody reads for instance
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    os._exit(code)


def exit_for_restart(reason: str, show_threads: bool = False) -> NoReturn:
    """Log `reason` and terminate the process with exit code FAULT, so that it is restarted.

    With several workers, uvicorn's supervisor restarts it; with one, a container's restart policy or an init system.
    """
    signal.alarm(LAST_WORDS_S)
    if show_threads and sys.__stderr__ is not None:
        faulthandler.dump_traceback(sys.__stderr__)
    log.critical("%s; leaving with exit code %d, to be started anew", reason, FAULT)
    exit_process(FAULT)
