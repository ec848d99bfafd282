"""Log the address of the service once it accepts connections.

A single process logs it itself. With several workers, each reports its version to the supervisor (workers.py), which
logs the address when all have reported.
"""

import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn

from app.server.protocol import innermost

LOOPBACK = {4: "127.0.0.1", 6: "::1"}

log = logging.getLogger(__name__)


def announce(version: int, host: str, listener: socket.SocketType) -> None:
    """Log the served version and the address of the service."""
    log.info("digit-vae serves version %d at %s", version, address(host, listener))


def address(host: str, listener: socket.SocketType) -> str:
    """Return the address of a listening socket in a form that a person can open.

    Args:
        host: the requested host; an unspecified address is shown as the loopback address.
        listener: provides the port, which the system may have chosen.
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
    """uvicorn's server, which logs the served version together with the address."""

    def _log_started_message(self, listeners: Sequence[socket.SocketType]) -> None:
        announce(_version(self.config.loaded_app), self.config.host, listeners[0])


class TellingServer(uvicorn.Server):
    """uvicorn's server in a worker, which reports the served version to the supervisor.

    Args:
        config: uvicorn's configuration.
        tell: called with the served version once connections are accepted.
    """

    def __init__(self, config: uvicorn.Config, tell: Callable[[int], None]) -> None:
        super().__init__(config)
        self._tell = tell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the server, then report the served version."""
        await super().startup(sockets)
        self._tell(_version(self.config.loaded_app))


def _version(application: Any) -> int:
    """Return the version that an application serves."""
    version: int = innermost(application).service.model.version
    return version
