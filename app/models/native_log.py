"""Divert the messages that native libraries write to standard error, and log them.

TensorFlow's C++ writes lines to file descriptor 2 while it is imported, before its logging can be configured; no
environment variable silences them. Within `held`, descriptor 2 is a temporary file. Python's own standard error still
leads to its original destination, so no log line of another thread is lost. If the process dies within `held`, a second
process copies the file to standard error.
"""

import io
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO

STDERR = 2
# Reads one byte once the block has been left. The end of the pipe without one is the end of the process.
WITNESS = """
import os, sys
if not os.read(0, 1):
    held = int(sys.argv[1])
    os.lseek(held, 0, os.SEEK_SET)
    while text := os.read(held, 65536):
        os.write(2, text)
"""

log = logging.getLogger(__name__)


@contextmanager
def held(source: str = "TensorFlow") -> Iterator[None]:
    """Divert native output from standard error; log it as errors if the block raises an exception, else for debugging.

    Args:
        source: the library that writes; each line is logged under this name.
    """
    with ExitStack() as around:
        with suppress(OSError):  # no standard error, no room for a file or a process: then it comes as it comes
            original = os.dup(STDERR)
            around.callback(os.close, original)
            text = around.enter_context(tempfile.TemporaryFile())
            around.enter_context(_logged(text, source))
            around.enter_context(_witnessed(text, original))
            around.enter_context(_diverted(text, original))
        yield


@contextmanager
def _logged(text: IO[bytes], source: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        _log(text, source, logging.ERROR)
        raise
    _log(text, source, logging.DEBUG)


def _log(text: IO[bytes], source: str, level: int) -> None:
    text.seek(0)
    for line in text.read().decode(errors="replace").splitlines():
        if line.strip():
            log.log(level, "%s: %s", source, line)


@contextmanager
def _diverted(text: IO[bytes], original: int) -> Iterator[None]:
    """Replace descriptor 2 by `text` within the block; Python's own streams write to `original`."""
    _point_python_at(original, STDERR)
    os.dup2(text.fileno(), STDERR)
    try:
        yield
    finally:
        os.dup2(original, STDERR)
        _point_python_at(STDERR, original)


def _point_python_at(descriptor: int, before: int) -> None:
    """Make Python's streams that write to `before` write to `descriptor`.

    The streams stay the same objects, because log handlers and libraries imported meanwhile hold references to them.
    """
    for stream in {sys.stderr, sys.__stderr__}:
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", buffer)  # unbuffered streams have no more than one layer
        if stream is None or not isinstance(raw, io.FileIO) or raw.closed or raw.fileno() != before:
            continue
        name = raw.name
        raw.__init__(descriptor, "wb", closefd=False)  # type: ignore[misc]  # it opens a file anew, as any call of it
        raw.name = name
        stream.flush()  # waits for a thread that is writing to where the stream led before
    _wait_for_handlers()


def _wait_for_handlers() -> None:
    """Wait until every log record that is being written has been written; later ones use the new descriptor."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    for handler in {each for logger in loggers if isinstance(logger, logging.Logger) for each in logger.handlers}:
        handler.acquire()
        handler.release()


@contextmanager
def _witnessed(text: IO[bytes], original: int) -> Iterator[None]:
    """Run a second process during the block, which copies `text` to `original` if this process dies."""
    witness = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", WITNESS, str(text.fileno())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=original,
        pass_fds=[text.fileno()],
        process_group=0,  # Ctrl-C is none of its business
    )
    try:
        yield
    finally:
        with suppress(OSError):  # it has been killed
            witness.communicate(b".")
