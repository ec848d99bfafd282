"""Serve with uvicorn until stopped: one process, or several workers under a supervisor."""

import functools
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import uvicorn
from uvicorn.config import LOGGING_CONFIG, STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from app.server.announcement import AnnouncingServer
from app.server.connections import Connections
from app.server.exit import exit_process
from app.server.machine import default_batch_threads, default_workers
from app.server.protocol import LimitedHttpProtocol
from app.server.workers import Supervisor, Worker
from app.settings import Settings
from app.telemetry import logs

WORKER_START_S = 120  # uvicorn kills a worker that does not answer its ping, and importing TensorFlow keeps it busy
OTHER_FILES = 256  # descriptors that are no connections: the store, the log, what libraries hold open


def serve(settings: Settings, host: str, port: int, workers: int | None = None) -> NoReturn:
    """Serve until stopped, then terminate the process.

    Args:
        settings: the settings of the environment, which the workers read again.
        host: the address to listen on.
        port: the port; 0 for any free one.
        workers: number of processes; by default as many as the machine's cores and memory allow.
    """
    workers = workers or default_workers()
    if not settings.batch_threads:
        os.environ["VAE_BATCH_THREADS"] = str(default_batch_threads(workers))
    logs.configure(settings)
    with _shared_counts(workers, settings):
        code = _run(_config(settings, host, port, workers))
    exit_process(code)


@contextmanager
def _shared_counts(workers: int, settings: Settings) -> Iterator[None]:
    """Create a folder in which several workers share their metrics, unless the operator has set one."""
    if workers == 1 or settings.metrics_dir is not None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="digit-vae-") as folder:
        os.environ["VAE_METRICS_DIR"] = folder  # the workers are new processes, which read the environment
        yield


def _config(settings: Settings, host: str, port: int, workers: int) -> uvicorn.Config:
    return uvicorn.Config(
        "app.main:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,  # the application writes its own
        log_config=LOGGING_CONFIG if settings.log_format == "text" else None,
        log_level=settings.log_level.lower(),
        http=functools.partial(LimitedHttpProtocol, _connections(settings)),  # type: ignore[arg-type]  # called as the class is
        ws="none",
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies,
        server_header=False,  # what runs here is nobody's business, and a header is half a microsecond
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        timeout_worker_healthcheck=WORKER_START_S,
    )


def _run(config: uvicorn.Config) -> int:
    """Serve until stopped; return the exit code. Unlike uvicorn.run, report a worker that failed to start."""
    # A requested stop is a success; uvicorn raises the signal again once it has shut down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if config.workers == 1:
            AnnouncingServer(config).run()
            return 0
        multiprocess.Process = Worker  # type: ignore[misc]  # it cannot be given
        supervisor = Supervisor(config, [_bound(config)])
        supervisor.run()
        failed = any(each.exitcode == STARTUP_FAILURE for each in supervisor.processes)
        return STARTUP_FAILURE if failed else 0
    except SystemExit as stop:
        return int(stop.code or 0)
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is being done


def _bound(config: uvicorn.Config) -> socket.socket:
    """Bind and return the socket that the workers share, without uvicorn's log line: no worker answers yet."""
    logger = logging.getLogger("uvicorn.error")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return config.bind_socket()
    finally:
        logger.setLevel(level)


def _connections(settings: Settings) -> Connections:
    """Return Connections with the settings' limits, or with fewer connections if fewer files may be open.

    The soft limit of open files is raised first: in many shells it is 1024 unless a process asks for more.
    """
    wanted = settings.max_connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return Connections(settings.model_copy(update={"max_connections": max(1, allowed - OTHER_FILES)}))
