"""The two shells of tests/support/pasting.py: one that serves until it is interrupted, one that is pasted into.

Standard library only.
"""

import os
import select
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SHOWN_LINES = 40  # of the output of a command that fails
STOP_S = 60


class Failed(Exception):
    """What did not go as the document says; the message is for people."""


class Session:
    """A bash that goes on from one paste to the next, and ends at the first command that fails."""

    def __init__(self, bash: subprocess.Popen[bytes], output: IO[bytes], done: int, say_done: str) -> None:
        self._bash = bash
        self._output = output
        self._done = done
        self._say_done = say_done

    def paste(self, text: str, timeout_s: float) -> str:
        """Type a text, wait until all of it has run, and return what it printed.

        Raises:
            Failed: a command did not return 0, or not in time. The session cannot be used any more.
        """
        start = os.fstat(self._output.fileno()).st_size
        assert self._bash.stdin
        self._bash.stdin.write(f"{text}\n{self._say_done}\n".encode())
        ready, _, _ = select.select([self._done], [], [], timeout_s)
        ended = not ready or os.read(self._done, 1) == b""
        printed = _text(self._output, start)
        if ended:
            how = f"exit code {self._bash.wait(STOP_S)}" if ready else f"still running after {timeout_s:g} s"
            raise Failed(f"{how}\n{last_lines(printed)}")
        return printed


class Service:
    """What a command serves, from its start until it is interrupted."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process = process
        self._output = output

    def printed(self) -> str:
        """Return all that it has printed so far."""
        return _text(self._output, 0)

    def wait_ready(self, url: str, timeout_s: float) -> None:
        """Wait until `url` answers with 200.

        Raises:
            Failed: it has ended, or is not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while not _answers(url):
            if self._process.poll() is not None:
                raise Failed(f"it ended with exit code {self._process.returncode}\n{last_lines(self.printed())}")
            if time.monotonic() > deadline:
                raise Failed(f"not ready after {timeout_s:g} s\n{last_lines(self.printed())}")
            time.sleep(0.2)

    def wait_last_line(self, words: str, timeout_s: float) -> None:
        """Wait until the last line that it printed contains `words`.

        Raises:
            Failed: another line is still the last one after that time.
        """
        deadline = time.monotonic() + timeout_s
        while words not in last_lines(self.printed(), 1):
            if time.monotonic() > deadline:
                raise Failed(f"the last line printed does not name {words}\n{last_lines(self.printed())}")
            time.sleep(0.1)

    def interrupt(self) -> int:
        """Press Ctrl-C: every process of the terminal gets SIGINT. Return the exit code."""
        os.killpg(self._process.pid, signal.SIGINT)
        return self._process.wait(STOP_S)


@contextmanager
def session(root: Path, environment: Mapping[str, str]) -> Iterator[Session]:
    """Open a shell; kill it and what it left running at the end."""
    done, write_end = os.pipe()
    with tempfile.TemporaryFile() as output:
        bash = _bash(root, environment, output, "-eo", "pipefail", stdin=subprocess.PIPE, fds=(write_end,))
        os.close(write_end)  # so that bash's end is the end of this pipe
        try:
            yield Session(bash, output, done, f"echo >&{write_end}")
        finally:
            _kill(bash)
            os.close(done)


@contextmanager
def serving(text: str, root: Path, environment: Mapping[str, str]) -> Iterator[Service]:
    """Run a text in a bash of its own; kill what is left of it at the end."""
    with tempfile.TemporaryFile() as output:
        process = _bash(root, environment, output, "-c", text, stdin=subprocess.DEVNULL)
        try:
            yield Service(process, output)
        finally:
            _kill(process)


def fetch(url: str) -> bytes:
    """Return the body of an answer of 200, past any proxy.

    Raises:
        OSError: nobody answers, or with another status (urllib's errors are OSErrors).
    """
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
        body: bytes = answer.read()
    return body


def last_lines(text: str, count: int = SHOWN_LINES) -> str:
    """The last lines of a text that are not empty."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def _bash(
    root: Path,
    environment: Mapping[str, str],
    output: IO[bytes],
    *arguments: str,
    stdin: int,
    fds: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start a bash in a session of its own, as a terminal has one: signals to it reach nobody else."""
    return subprocess.Popen(
        ["bash", *arguments],
        cwd=root,
        env=environment,
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=fds,
        start_new_session=True,
        bufsize=0,
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait(STOP_S)


def _answers(url: str) -> bool:
    try:
        fetch(url)
    except OSError:
        return False
    return True


def _text(file: IO[bytes], start: int) -> str:
    """Read a file that another process writes; the two share its offset, which stays where it is."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size - start, start).decode(errors="replace")
