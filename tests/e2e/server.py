"""The real service in a process of its own, on a free port of the loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.paths import ROOT

START_S = 120


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    url: str

    def stop(self) -> int:
        """Ask it to stop, as an operator does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(store: Path, log: Path, *arguments: str, **environment: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "app.serve", "--port", str(port), *arguments]
    env = {**os.environ, "VAE_MODEL_STORE": str(store), **environment}
    with started(command, f"http://127.0.0.1:{port}", log, ROOT, env) as server:
        yield server


@contextmanager
def started(command: list[str], url: str, log: Path, cwd: Path, env: dict[str, str]) -> Iterator[Server]:
    """The service that a command starts, once it is ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=output)
    server = Server(process, url)
    try:
        _wait_ready(server, log)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _wait_ready(server: Server, log: Path) -> None:
    deadline = time.monotonic() + START_S
    # One client: httpx.get reads all certificates of the host for every look, which took half as long as the service.
    with httpx.Client(trust_env=False, verify=False, headers={"connection": "close"}) as client:
        while time.monotonic() < deadline:
            assert server.process.poll() is None, log.read_text()
            try:
                if client.get(f"{server.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise AssertionError(f"not ready after {START_S} s:\n{log.read_text()}")
