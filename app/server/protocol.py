"""uvicorn's HTTP protocol with limits on a client's bytes before, between and after bodies, and on its pace.

A connection that exceeds a limit is answered with a problem document, if that is still possible, and closed. Bodies
have further limits inside the application, where their routes are known: body_limit.py, body_clock.py.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.api import problems
from app.errors import DigitVaeError, HeadersTooLarge, HeaderTimeout, MalformedRequest, TooManyConnections
from app.server.connections import Connections, ConnectionState
from app.server.express import ExpressProtocol
from app.server.upgrade import CONNECT

MAX_PIPELINED = 64  # requests that wait for their turn on one connection
LINGER_S = 2.0
MAX_LINGERING = 256
RESET = struct.pack("ii", 1, 0)  # linger, for no time: close() resets the connection, and its buffers go


class BoundedProtocol(ExpressProtocol):
    """The protocol class that uvicorn gets as `http`, with `connections` filled in."""

    def __init__(self, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._connections = connections
        self._bounds = connections.bounds
        self._piece = 0  # bytes that came last
        self._ended: object = None  # the latest request of which all has come, whether it was read or not
        self._framing = 0  # bytes of pieces in which the head did not end, or that were no body
        self._refusal: DigitVaeError | None = None  # of a head that the parser is in the middle of
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count a new connection, or refuse it."""
        super().connection_made(transport)
        if not self._connections.admit(self):
            most = self._bounds.connections
            self._refuse(TooManyConnections(f"There are {most} connections already. Try again in a second."))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._connections.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes from the client, and count those of a head or a body that is not complete yet."""
        self._piece = len(data)
        cycle = self.cycle
        if self.scope is self._ended:
            self._framing = 0
            super().data_received(data)
        elif cycle is None or cycle.scope is not self.scope:
            self._more_of_the_head(data)
        else:
            self._more_of_the_body(data)

    def _more_of_the_head(self, data: bytes) -> None:
        scope = self.scope
        super().data_received(data)
        if self._reads_a_head(scope):
            self._framing += len(data)
            if self._framing > self._bounds.header_bytes:
                self._refuse(self._head_too_large())
        else:
            self._framing = 0

    def _more_of_the_body(self, data: bytes) -> None:
        """Parse more of a body; limit chunk sizes and trailers, which take memory but are not part of the body."""
        cycle, before = self.cycle, len(self.cycle.body)
        super().data_received(data)
        if self.scope is self._ended or self.scope is not cycle.scope:
            self._framing = 0
            return
        body = len(cycle.body) - before
        self._framing += len(data) - 2 * body  # chunks of a byte or two are a waste, yet allowed for a while
        most = self._bounds.header_bytes + (self._bounds.body_bytes if cycle.response_complete else 0)
        if self._framing > most or len(self.headers) > 2 * self._bounds.headers:
            self._close_with()

    def on_message_complete(self) -> None:
        """Record that a request is complete, even one that is answered already, which uvicorn does not record."""
        if self.ignores_message():
            return
        super().on_message_complete()
        self._ended = self.scope

    def on_headers_complete(self) -> None:
        """Check a request's head against the limits."""
        if self.ignores_message():
            return
        many = len(self.headers) > self._bounds.headers or self._piece > self._bounds.header_bytes or self.pipeline
        if many or self.parser.get_method() == CONNECT:
            self._check_head()
        super().on_headers_complete()

    def _check_head(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if len(self.headers) > self._bounds.headers or size > self._bounds.header_bytes:
            self._refusal = self._head_too_large()
        elif len(self.pipeline) >= MAX_PIPELINED:
            self._refusal = MalformedRequest(f"More than {MAX_PIPELINED} requests wait on this connection.")
        elif self.parser.get_method() == CONNECT:
            self._refusal = MalformedRequest("CONNECT asks for a tunnel, and this server is no proxy.")
        if self._refusal:
            raise self._refusal  # the parser stops, and uvicorn calls send_400_response

    def _head_too_large(self) -> HeadersTooLarge:
        return HeadersTooLarge(
            f"The request's line and header fields are more than the {self._bounds.header_bytes:,} bytes, or the "
            f"{self._bounds.headers} fields, that are read."
        )

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP with a problem document; uvicorn would answer in plain text."""
        self._refuse(self._refusal or MalformedRequest("The bytes are not a request in HTTP/1.1 (RFC 9112)."))

    def on_response_complete(self) -> None:
        """Start the next pipelined request, as uvicorn does, but no idle timer: the sweep closes idle connections."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    @property
    def unsent(self) -> int:
        """Unsent bytes, see connections.Connection, including those in the kernel's send buffer."""
        return int(self.transport.get_write_buffer_size()) + _in_the_kernel(self.transport.get_extra_info("socket"))

    def state(self) -> tuple[ConnectionState, object]:
        """See connections.Connection."""
        cycle = self.cycle
        latest = cycle or self.answered
        if self.unsent:
            return ConnectionState.READER, latest
        if cycle is not None and not cycle.response_complete:
            return ConnectionState.SERVICE, cycle
        if self._reads_a_head(self.scope) or latest is None:
            return ConnectionState.HEAD, self.scope
        return (ConnectionState.IDLE if self.scope is self._ended else ConnectionState.BODY_TAIL), latest

    def _reads_a_head(self, scope: object) -> bool:
        """Return whether the request of `scope` has begun and its head is not complete yet."""
        return scope is not None and scope is self.scope and (self.cycle is None or self.cycle.scope is not scope)

    def time_out(self, wait: ConnectionState) -> None:
        """See connections.Connection."""
        if wait is ConnectionState.READER:
            # To close would be to wait until all is sent, and so would the kernel.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()
        elif wait is ConnectionState.HEAD and self.scope is not None:
            allowed = self._bounds.allowed_s[wait]
            self._refuse(HeaderTimeout(f"The request's head did not come in {allowed:g} s."))
        else:
            self.transport.close()

    def _refuse(self, error: DigitVaeError) -> None:
        """Send an error and close the connection."""
        self._close_with(_message(error, self.url.decode("latin-1") if self.scope else ""))

    def _close_with(self, message: bytes = b"") -> None:
        """Send `message` and close.

        While a response is under way, abort without `message`: the client could not distinguish it from the response.
        """
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._connections.forget(self)
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        if message:
            self.transport.write(message)
        self._close_lingering()

    def _close_lingering(self) -> None:
        """Half-close and discard input for LINGER_S, so that the client can read the response (RFC 9112, 9.6)."""
        transport: Any = self.transport
        transport.flush()
        self.loop.call_later(LINGER_S, transport.abort)
        if self._connections.leaving >= MAX_LINGERING or not transport.can_write_eof():
            transport.close()
            return
        transport.set_protocol(_Discarding(self, self._connections))
        try:
            transport.write_eof()
        except OSError:  # the caller has gone, which the event loop has yet to see
            transport.abort()
            return
        self.flow.resume_reading()


class _Discarding(asyncio.Protocol):
    """A protocol that discards the remaining input of a rejected client."""

    def __init__(self, left: BoundedProtocol, connections: Connections) -> None:
        self._left = left
        self._connections = connections
        connections.leaving += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._connections.leaving -= 1
        self._left.connection_lost(exc)


def _in_the_kernel(connection: socket.socket | None) -> int:
    """Return the number of bytes sent but not acknowledged; 0 if the system does not report it."""
    try:
        return int.from_bytes(fcntl.ioctl(connection or -1, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (OSError, ValueError):  # closed in the meantime
        return 0


def _message(error: DigitVaeError, path: str) -> bytes:
    """Render an error as a complete HTTP/1.1 message, with the response of problems.py."""
    response = problems.problem_response(error, problems.in_protocol(path))
    fields = [(name, value) for name, value in response.raw_headers if name != b"connection"]
    head = b"".join(b"%b: %b\r\n" % field for field in (*fields, (b"connection", b"close")))
    return b"".join((STATUS_LINE[response.status_code], head, b"\r\n", response.body))
