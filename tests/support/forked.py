"""Python programs that begin with TensorFlow imported: forked from a process that has done nothing but import.

An import takes five to seven seconds of a core, and tests of training begin some thirty processes. Forking is sound
as long as TensorFlow's runtime is not initialised, since it starts no thread before; `tests/test_forked.py` looks.
"""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any, TextIO
from unittest.mock import patch

from tests.support.paths import ROOT

IMPORTED = [
    "tensorflow", "keras", "matplotlib.figure", "matplotlib.backends.backend_agg", "mlxtend.data", "rich.console",
    "training.run",
]  # fmt: skip


@functools.cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


class Forked:
    """A process that runs `python ARGUMENTS` in the checkout, with as much of `subprocess.Popen` as tests need.

    Args:
        arguments: of Python: `-m MODULE ...` or `-c PROGRAM ...`.
        environment: all of it; by default that of this process.
        together: whether stderr goes where stdout goes.
    """

    def __init__(
        self, arguments: Sequence[object], environment: Mapping[str, str] | None = None, *, together: bool = False
    ) -> None:
        with _pipe() as (self.stdout, output), _pipe() as (self.stderr, errors):
            given = (list(map(str, arguments)), dict(environment or os.environ), output, output if together else errors)
            self._process = _context().Process(target=_run, args=given)
            with patch.dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3"):  # as training has it before it imports TensorFlow
                self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """The rest of what it prints; returns once it has ended."""
        with ThreadPoolExecutor(2) as pool:
            found = [pool.submit(stream.read) for stream in (self.stdout, self.stderr)]
            self._process.join(timeout)
            late = self.returncode is None
            if late:
                self._process.kill()
            output, errors = (each.result() for each in found)
        if late:
            raise subprocess.TimeoutExpired("python", timeout or 0, output, errors)
        return output, errors

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever happened."""
        if self.returncode is None:
            self._process.kill()
        self._process.join()
        self.stdout.close()
        self.stderr.close()


@contextmanager
def _pipe() -> Iterator[tuple[TextIO, Connection[Any, Any]]]:
    """A text stream of what is written to the connection, which is this process's only inside."""
    reader, writer = _context().Pipe(duplex=False)
    with reader, writer:
        yield os.fdopen(os.dup(reader.fileno()), errors="replace"), writer


def _run(
    arguments: list[str], environment: dict[str, str], output: Connection[Any, Any], errors: Connection[Any, Any]
) -> None:
    """What the child does."""
    for number, connection in ((1, output), (2, errors)):
        os.dup2(connection.fileno(), number)
    output.close()
    errors.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    kind, program, *rest = arguments
    sys.argv = [program if kind == "-m" else kind, *rest]
    try:
        if kind == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves by another way, and hosts take leave of each other there
