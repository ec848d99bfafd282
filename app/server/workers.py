"""Worker processes and their supervisor: each notices when the other ends.

A supervisor that is killed (SIGKILL) cannot notify its workers. They would keep the port and a model each, and a new
service could not listen on that port.
"""

import logging
import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from multiprocessing.process import BaseProcess
from socket import socket

import uvicorn
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from app.server.announcement import TellingServer, announce

log = logging.getLogger(__name__)


def end_with_supervisor() -> None:
    """Stop a worker, as by SIGTERM, once its supervisor has died; do nothing in a process without a supervisor."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        threading.Thread(target=_follow, args=(supervisor,), name="supervisor", daemon=True).start()


def _follow(supervisor: BaseProcess) -> None:
    supervisor.join()
    log.error("the supervisor has died; stopping")
    os.kill(os.getpid(), signal.SIGTERM)


class Worker(Process):
    """uvicorn's worker process, which reports the served version and whose end the supervisor notices at once.

    uvicorn also keeps the worker's end of their pipe open in the supervisor. If a worker ended during a health check,
    the supervisor would wait for it as for a busy one (`timeout_worker_healthcheck`) before it started a replacement.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self._told, self._tell = multiprocessing.Pipe(duplex=False)
        self._version: int | None = None

    def start(self) -> None:
        """Start the process, and close its ends of the pipes in the supervisor."""
        super().start()
        self.child_conn.close()
        self._tell.close()

    @property
    def server(self) -> uvicorn.Server:
        """The worker's server; for use in the worker."""
        if self._server is None:
            self._server = TellingServer(self.config, self._tell.send)
        return self._server

    @property
    def version(self) -> int | None:
        """The version that the worker served first; None until it has reported it. For use in the supervisor."""
        if self._version is None:
            with suppress(EOFError):  # it has died
                self._version = self._told.recv() if self._told.poll() else None
        return self._version


class Supervisor(Multiprocess):
    """uvicorn's supervisor, which logs the service's address once all of its workers serve."""

    announced = False

    def keep_subprocess_alive(self) -> None:
        """Replace dead workers, and announce the service once all serve; called every half second."""
        super().keep_subprocess_alive()
        versions = [worker.version for worker in self.processes if isinstance(worker, Worker)]
        if not self.announced and None not in versions and not self.should_exit.is_set():
            self.announced = True
            announce(max(filter(None, versions)), self.config.host, self.sockets[0])
