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
from multiprocessing.process import BaseProcess

from uvicorn.supervisors.multiprocess import Process

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
    """uvicorn's worker process, whose end its supervisor notices at once.

    uvicorn keeps the worker's end of their pipe open in the supervisor too. A worker that ends while it is asked how it
    does would be waited for as long as one that is busy (`timeout_worker_healthcheck`), and nobody be started instead.
    """

    def start(self) -> None:
        """Start it, and leave its end of the pipe to it."""
        super().start()
        self.child_conn.close()
