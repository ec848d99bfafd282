"""The line that says where the service answers, once it does.

A single process logs it itself. Each of several workers tells its version to the supervisor (workers.py), which logs it
when all have done so.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn

LOOPBACK = {4: "127.0.0.1", 6: "::1"}

log = logging.getLogger(__name__)


def announce(version: int, host: str, listener: socket.SocketType) -> None:
    """Log where the service answers."""
    log.info("digit-vae serves version %d at %s", version, address(host, listener))


def address(host: str, listener: socket.SocketType) -> str:
    """Return the address of a listening socket as a person can open it.

    Args:
        host: as it was asked for; all addresses of the machine become its loopback address.
        listener: has the port, also where any free one was asked for.
    """
    name = listener.getsockname()
    if not isinstance(name, tuple):
        return f"the socket {name!s}"
    host = _reachable(host)
    return f"http://[{host}]:{name[1]}" if ":" in host else f"http://{host}:{name[1]}"


def _reachable(host: str) -> str:
    if not host:
        return LOOPBACK[4]
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host  # a name
    return LOOPBACK[found.version] if found.is_unspecified else host


class AnnouncingServer(uvicorn.Server):
    """uvicorn's server, which announces the version and the address instead of the address alone."""

    def _log_started_message(self, listeners: Sequence[socket.SocketType]) -> None:
        announce(_version(self.config.loaded_app), self.config.host, listeners[0])


class TellingServer(uvicorn.Server):
    """uvicorn's server in a worker.

    Args:
        config: uvicorn's.
        tell: told the version that is served once connections are accepted.
    """

    def __init__(self, config: uvicorn.Config, tell: Callable[[int], None]) -> None:
        super().__init__(config)
        self._tell = tell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as ever, then tell."""
        await super().startup(sockets)
        self._tell(_version(self.config.loaded_app))


def _version(application: Any) -> int:
    """Return the version that an application serves; layers that uvicorn puts around it have it as `app`."""
    while not hasattr(application, "service"):
        application = application.app
    version: int = application.service.model.version
    return version
