"""The real service for the long tests: started, found ready, looked at through /proc, and stopped."""

from __future__ import annotations

import http.client
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

from benchmarks.contenders import ROOT, family

START_S = 180


@dataclass
class Server:
    """A running service."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ready(self) -> bool:
        """What /readyz says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def wait_ready(self, workers: int = 1) -> None:
        """Return once so many workers answer; a single connection is any worker's."""
        deadline = time.monotonic() + START_S
        while not (self.ready() and len(self.answering()) >= workers):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service does not start:\n{self.log.read_text()}")
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


@contextmanager
def serving(store: Path, log: Path, workers: int = 1, **environment: str) -> Iterator[Server]:
    """The service on a free port; whatever happens, nothing of it is left at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.serve", "--port", str(port), "--workers", str(workers)],
            cwd=ROOT,
            env={**os.environ, "VAE_MODEL_STORE": str(store), **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = Server(process, port, log)
    try:
        server.wait_ready(workers)
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers too, should they have outlived it
        process.wait()
