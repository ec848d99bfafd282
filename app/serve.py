"""Starts the service: `python -m app.serve`, scripts/serve. Checks the store first, then hands over to uvicorn."""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType
from typing import NoReturn

import uvicorn
from pydantic import ValidationError

from app.errors import StoreError
from app.settings import Settings
from app.store import ModelStore

WORKER_START_S = 120  # uvicorn kills a worker that does not answer its ping, and importing TensorFlow keeps it busy

KEEP_ALIVE_S = 75  # as nginx: a client that reuses a connection just as it is closed sees a reset


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; 1 with one line on stderr if there is nothing to serve."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings()
        ModelStore(settings.model_store).open(settings.model_version).verify()
    except ValidationError as exc:
        first = exc.errors()[0]
        print(f"error: VAE_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}", file=sys.stderr)
        return 1
    except StoreError as exc:
        print(f"error: {exc.detail}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _exit)
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=options.host,
        port=options.port,
        workers=options.workers,
        access_log=options.access_log,
        log_level=settings.log_level.lower(),
        ws="none",
        proxy_headers=False,  # nothing here asks who the client is
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        timeout_worker_healthcheck=WORKER_START_S,
    )
    return 0


def _exit(signum: int, frame: FrameType | None) -> NoReturn:
    """A stop that was asked for is a success: uvicorn, once it has shut down, raises the signal again."""
    sys.exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/serve",
        description="Serve the newest version of the model store over HTTP. Settings are environment variables "
        "(VAE_MODEL_STORE, VAE_MODEL_VERSION, ...): see the README.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for all")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1, help="processes, each with its own copy of the model")
    parser.add_argument("--access-log", action="store_true", help="log a line for every request")
    return parser


if __name__ == "__main__":
    sys.exit(main())
