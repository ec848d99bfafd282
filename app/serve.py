"""Starts the service: `python -m app.serve`, scripts/serve. Checks the store first, then hands over to uvicorn."""

from __future__ import annotations

import argparse
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
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvicorn
from pydantic import ValidationError
from uvicorn.config import LOGGING_CONFIG, STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from app import logs
from app.announcement import AnnouncingServer
from app.bounded_protocol import BoundedProtocol
from app.command_line import Parser, whole
from app.connections import Bounds, Connections
from app.departure import leave
from app.errors import DigitVaeError, require_tensorflow
from app.models.store import ModelStore
from app.settings import Settings
from app.supervisor import Supervisor, Worker

WORKER_START_S = 120  # uvicorn kills a worker that does not answer its ping, and importing TensorFlow keeps it busy

MOST_WORKERS = 4
WORKER_BYTES = 2**30
GPU_NODES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd")
OTHER_FILES = 256  # descriptors that are no connections: the store, the log, what libraries hold open
EXAMPLES = """\
examples:
  {prog}
  {prog} --host 0.0.0.0 --port 80 --workers 4
  VAE_MODEL_STORE=my_models {prog}
  VAE_MODEL_VERSION=1 VAE_LOG_FORMAT=json {prog}"""


def main(arguments: list[str] | None = None, prog: str = "scripts/serve") -> int:
    """Serve until told to stop, then leave the process; 1 with one line on stderr if there is nothing to serve."""
    options = parser(prog).parse_args(arguments)
    try:
        settings = Settings()
        store = ModelStore(settings.model_store)
        store.open(store.chosen(settings.model_version)).verify()
        require_tensorflow()
    except ValidationError as exc:
        first = exc.errors()[0]
        print(f"error: VAE_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}", file=sys.stderr)
        return 1
    except DigitVaeError as exc:
        print(f"error: {exc.detail}", file=sys.stderr)
        return 1
    workers = options.workers or default_workers()
    if options.access_log:
        os.environ["VAE_ACCESS_LOG"] = "true"
    if not settings.batch_threads:
        os.environ["VAE_BATCH_THREADS"] = str(default_batch_threads(workers))
    logs.configure(settings)
    with _shared_counts(workers, settings):
        code = _run(_config(options, workers, settings))
    return leave(code)


@contextmanager
def _shared_counts(workers: int, settings: Settings) -> Iterator[None]:
    """A folder in which several workers share their counts, unless the operator named one."""
    if workers == 1 or settings.metrics_dir is not None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="digit-vae-") as folder:
        os.environ["VAE_METRICS_DIR"] = folder  # the workers are new processes, which read the environment
        yield


def _config(options: argparse.Namespace, workers: int, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "app.main:create_app",
        factory=True,
        host=options.host,
        port=options.port,
        workers=workers,
        access_log=False,  # the application writes its own
        log_config=LOGGING_CONFIG if settings.log_format == "text" else None,
        log_level=settings.log_level.lower(),
        http=functools.partial(BoundedProtocol, _connections(settings)),  # type: ignore[arg-type]  # called as the class is
        ws="none",
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies,
        server_header=False,  # what runs here is nobody's business, and a header is half a microsecond
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        timeout_worker_healthcheck=WORKER_START_S,
    )


def _run(config: uvicorn.Config) -> int:
    """Serve until told to stop; the exit code. As uvicorn.run does, which keeps to itself why its workers ended."""
    signal.signal(signal.SIGTERM, _exit)
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
    """The socket that the workers share. That uvicorn runs there is left unsaid: nobody answers yet."""
    logger = logging.getLogger("uvicorn.error")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return config.bind_socket()
    finally:
        logger.setLevel(level)


def default_workers() -> int:
    """As many processes as the machine feeds: by cores and memory; one where there is a GPU, which has one owner."""
    if _has_gpu():
        return 1
    by_memory = _memory_bytes() // WORKER_BYTES
    return int(max(1, min(_cores(), by_memory, MOST_WORKERS)))


def _connections(settings: Settings) -> Connections:
    """As many as the settings say, or as files may be open: many shells allow 1024, unless one asks for more."""
    wanted = settings.max_connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    bounds = Bounds.of(settings)
    return Connections(replace(bounds, connections=max(1, allowed - OTHER_FILES)))


def default_batch_threads(workers: int) -> int:
    """Cores that each worker has to itself; one where there is a GPU, on which a batch is better left whole."""
    return 1 if _has_gpu() else max(1, int(_cores()) // workers)


def _has_gpu() -> bool:
    return any(Path(node).exists() for node in GPU_NODES)


def _cores() -> float:
    """Cores this process may use: its affinity, or its control group's share if that is less."""
    cores = float(len(os.sched_getaffinity(0)))
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    return min(cores, int(quota) / int(period)) if quota.isdigit() and period.isdigit() else cores


def _memory_bytes() -> int:
    """Memory of the machine, or of the control group if that is less."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read("/sys/fs/cgroup/memory.max")
    return min(installed, int(limit)) if limit.isdigit() else installed


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _exit(signum: int, frame: FrameType | None) -> NoReturn:
    """A stop that was asked for is a success: uvicorn, once it has shut down, raises the signal again."""
    sys.exit(0)


def parser(prog: str) -> Parser:
    """The command line, under the name it was called by."""
    parser = Parser(
        prog=prog,
        description="Serve the newest version of the model store over HTTP. Settings are environment variables "
        "(VAE_MODEL_STORE, VAE_MODEL_VERSION, ...): see docs/settings.md.",
        epilog=EXAMPLES.format(prog=prog),
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for all")
    parser.add_argument("--port", type=whole(0, 65535), default=8000, help="port to listen at; 0 for any free one")
    parser.add_argument(
        "--workers",
        type=whole(1),
        metavar="N",
        help=f"processes, each with its own copy of the model; by default one per core, at most {MOST_WORKERS}, as "
        "memory allows, and one where there is a GPU",
    )
    parser.add_argument("--access-log", action="store_true", help="log a line for every request")
    parser.add_release()
    return parser


if __name__ == "__main__":
    sys.exit(main())
