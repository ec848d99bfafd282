"""An answer's head and body in one packet: uvicorn's HTTP protocol with a cork in its transport.

uvicorn writes the head when the application starts its answer and the body when that comes, each with a system call,
and the client wakes up twice. On a digit of 900 bytes the second call costs as much as the routing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from app.server.lingering import LingeringProtocol

# Joining copies; what is larger than this is handed over as it is, for one system call all the same.
MOST_JOINED_BYTES = 65536


class CorkedProtocol(LingeringProtocol):
    """To be given to uvicorn as `http`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note that a client connected."""
        super().connection_made(CorkedTransport(transport, self.loop))  # type: ignore[arg-type]


class CorkedTransport:
    """A transport whose writes within one turn of the event loop go out together."""

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        """Send `data`, with the next write if that follows at once."""
        held = self._held
        if held and len(data) <= MOST_JOINED_BYTES:
            self._held = b""
            self._transport.write(held + data)
        elif held:
            self._held = b""
            self._transport.writelines((held, data))
        elif len(data) > MOST_JOINED_BYTES:
            self._transport.write(data)
        else:
            self._held = data
            self._loop.call_soon(self.flush)

    def send(self, data: bytes) -> None:
        """Send `data` now: there is nothing to wait for."""
        self.flush()
        self._transport.write(data)

    def flush(self) -> None:
        """Send what is held."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def close(self) -> None:
        """Send what is held, then close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
