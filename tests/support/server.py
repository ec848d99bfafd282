"""The real service in a process of its own: started on a free port, found ready, looked at through /proc, stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.paths import ROOT
from tests.support.processes import family

START_S = 180


@dataclass
class Server:
    """A service in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def wait_ready(self, workers: int = 1) -> None:
        """Return once it is ready, and so many of its processes answer."""
        deadline = time.monotonic() + START_S
        # One client: httpx.get reads all certificates of the host each time, which took half as long as the service.
        with httpx.Client(trust_env=False, verify=False, headers={"connection": "close"}) as client:
            while not (_is_ready(client, self.url) and (workers == 1 or len(self.answering()) >= workers)):
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, f"not ready after {START_S} s:\n{self.log.read_text()}"
                time.sleep(0.1)

    def answering(self) -> set[int]:
        """The processes that have answered on one of a few new connections just now."""
        connections = [socket.create_connection(("127.0.0.1", self.port), timeout=10) for _ in range(8)]
        try:
            for connection in connections:
                connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
                connection.recv(4096)
            owners = self.owners()
            return {owners[port] for each in connections if (port := each.getsockname()[1]) in owners}
        except OSError:
            return set()
        finally:
            for connection in connections:
                connection.close()

    def owners(self) -> dict[int, int]:
        """The process that holds each connection, by the client's port."""
        sockets = {}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, here, there, *_, inode = line.split()[:10]
            if int(here.rpartition(":")[2], 16) == self.port:
                sockets[f"socket:[{inode}]"] = int(there.rpartition(":")[2], 16)
        return {
            sockets[name]: process
            for process in family(self.process.pid)
            for name in self.open_files(process)
            if sockets.get(name)
        }

    def open_files(self, process: int) -> list[str]:
        """What one of its processes has open: paths, and names such as `socket:[12]`."""
        found = []
        with suppress(OSError):  # it has ended
            for file in Path(f"/proc/{process}/fd").iterdir():
                with suppress(OSError):  # it was closed meanwhile
                    found.append(os.readlink(file))
        return found

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
def serving(
    store: Path, log: Path, *arguments: str, workers: int | None = None, **environment: str
) -> Iterator[Server]:
    """The service on a free port of the loopback; with `workers`, once so many answer."""
    port = free_port()
    command = [sys.executable, "-m", "app.serve", "--port", str(port), *arguments]
    command += ["--workers", str(workers)] if workers else []
    env = {**os.environ, "VAE_MODEL_STORE": str(store), **environment}
    with started(command, f"http://127.0.0.1:{port}", log, ROOT, env, workers or 1) as server:
        yield server


@contextmanager
def started(
    command: list[str], url: str, log: Path, cwd: Path, env: dict[str, str], workers: int = 1
) -> Iterator[Server]:
    """The service that a command starts, once it is ready; whatever happens, nothing of it is left at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=output, start_new_session=True)
    server = Server(process, url, log)
    try:
        server.wait_ready(workers)
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers too, should they have outlived it
        process.wait()


def _is_ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False
