"""What a worker owes to the process that supervises it, to end when that does; and the other way round.

A supervisor that is killed outright tells its workers nothing. They would go on holding the port and a model each, and
the service that is started in its place could not listen.
"""

from __future__ import annotations

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
    """In a worker, stop as by SIGTERM once the supervisor has died. In a process that has none, do nothing."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        threading.Thread(target=_follow, args=(supervisor,), name="supervisor", daemon=True).start()


def _follow(supervisor: BaseProcess) -> None:
    supervisor.join()
    log.error("the supervisor has died; stopping")
    os.kill(os.getpid(), signal.SIGTERM)


class Worker(Process):
    """uvicorn's worker process, which tells its supervisor what it serves, and whose end that notices at once.

    uvicorn keeps the worker's end of their pipe open in the supervisor too. A worker that ends while it is asked how it
    does would be waited for as long as one that is busy (`timeout_worker_healthcheck`), and nobody be started instead.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self._told, self._tell = multiprocessing.Pipe(duplex=False)
        self._version: int | None = None

    def start(self) -> None:
        """Start it, and leave its ends of the pipes to it."""
        super().start()
        self.child_conn.close()
        self._tell.close()

    @property
    def server(self) -> uvicorn.Server:
        """The server; asked for in the worker."""
        if self._server is None:
            self._server = TellingServer(self.config, self._tell.send)
        return self._server

    @property
    def version(self) -> int | None:
        """The version that it began to serve; None before. Asked for in the supervisor."""
        if self._version is None:
            with suppress(EOFError):  # it has died
                self._version = self._told.recv() if self._told.poll() else None
        return self._version


class Supervisor(Multiprocess):
    """uvicorn's supervisor, which announces the service once all of its workers answer."""

    announced = False

    def keep_subprocess_alive(self) -> None:
        """Do so; called every half a second."""
        super().keep_subprocess_alive()
        versions = [worker.version for worker in self.processes if isinstance(worker, Worker)]
        if not self.announced and None not in versions and not self.should_exit.is_set():
            self.announced = True
            announce(max(filter(None, versions)), self.config.host, self.sockets[0])
