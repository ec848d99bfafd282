"""uvicorn's HTTP protocol with limits on a client's bytes before, between and after bodies, and on its pace.

What comes on a connection is read up to its last request: up to bytes that are no request or exceed a limit, up to
`Connection: close`, or up to the client's half-close. Requests that came whole before are answered in their order, then
comes the problem document, if one is due, and the connection is closed. `_end_of_requests` is the only way there. So a
request has one answer, an answer belongs to one request, and no connection stays open on which nothing is read. Bodies
have further limits inside the application, where their routes are known: middleware/body_limit.py. Besides, here is
done what uvicorn has no setting for:

- One request too many is refused before it has a task: under overload that is what most of the time would go into.
- A stop answers what has arrived. uvicorn closes idle connections at once; what a busy event loop has not read yet
  would be thrown away, and its sender see a reset.
- `Upgrade` is ignored, as a server may that offers no other protocol (RFC 9110, 7.8). llhttp stops parsing HTTP at the
  end of such a head: the body would be lost, or be parsed as the next request. Java's HttpClient sends the field with
  every first request, and so do proxies set up for WebSockets.
- Trailers are dropped (RFC 9110, 6.5.1): uvicorn lets them change the header fields.
- `Host`, the version and transfer codings are checked (RFC 9112, 2.3, 3.2, 6.1).
"""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.problems import http_message
from app.errors import (
    BodyTooLarge,
    DigitVaeError,
    HeadersTooLarge,
    HeaderTimeout,
    MalformedRequest,
    TooManyConnections,
    UnsupportedCoding,
    UnsupportedVersion,
)
from app.middleware.admission import ALWAYS, Admission
from app.middleware.body_limit import WHOLE_BODY
from app.server.connections import Connections, ConnectionState
from app.server.response_cycle import JoiningCycle

CONNECT = b"CONNECT"
HOSTS = {"1.1": (1,), "1.0": (0, 1)}  # how many fields `Host` a request of each version that is served has
MAX_PIPELINED = 64  # requests that wait for their turn on one connection
LINGER_S = 2.0
MAX_LINGERING = 256
HALF_CLOSED_S = 2.0  # for what a client asked before it closed its side; then it is taken to have gone
RESET = struct.pack("ii", 1, 0)  # linger, for no time: close() resets the connection, and its buffers go
STOP_LINGER_S = 0.1
STOP_TURNS = 4  # of the event loop, in each of which it looks for what has arrived, however late its timers are


class LimitedHttpProtocol(HttpToolsProtocol):
    """The protocol class that uvicorn gets as `http`, with `connections` filled in."""

    def __init__(self, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._connections = connections
        self._settings = connections.settings
        application = innermost(self.app)
        self._admission: Admission | None = getattr(application, "admission", None)
        self._piece = 0  # bytes that came last
        self._ended: object = None  # the latest request of which all has come, whether it was read or not
        self._answered: object = None  # the latest request, if it was refused before it had a task
        self._held: bytes | None = None  # what has come of the body of a request that is to be refused
        self._framing = 0  # bytes of pieces in which the head did not end, or that were no body
        self._refusal: DigitVaeError | None = None  # of a head that the parser is in the middle of
        self._last_words: bytes | None = None  # set once no more is read: sent after the answers that are under way
        self._half_closed = False
        self._answering: RequestResponseCycle | None = None  # the latest request whose turn has come

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count a new connection, or refuse it."""
        super().connection_made(transport)
        if not self._connections.admit(self):
            most = self._settings.max_connections
            self._refuse(TooManyConnections(f"There are {most} connections already. Try again in a second."))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._connections.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes from the client, and count those of a head or a body that is not complete yet."""
        if self._last_words is not None:
            return
        self._piece = len(data)
        cycle = self.cycle
        if self.scope is self._ended:
            self._framing = 0
            self._parse(data)
        elif cycle is None or cycle.scope is not self.scope:
            self._more_of_the_head(data)
        else:
            self._more_of_the_body(data)

    def _parse(self, data: bytes) -> None:
        """Parse bytes. A head with `Upgrade` is parsed a second time, without that field."""
        try:
            while data:
                try:
                    self.parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as stop:
                    data = self._head_without_upgrade() + data[stop.args[0] :]
        except httptools.HttpParserError as error:
            self.logger.warning("Invalid HTTP request received.")
            self._refuse(self._refusal or _malformed(error))
        if self._held is not None:  # the body of a request to be refused did not end with these bytes
            self._let_in()

    def _head_without_upgrade(self) -> bytes:
        """Replace the stopped parser by a new one; return the head, without `Upgrade`, for it to begin with."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(fields))

    def _more_of_the_head(self, data: bytes) -> None:
        scope = self.scope
        self._parse(data)
        if self._reads_a_head(scope):
            self._framing += len(data)
            if self._framing > self._settings.max_header_bytes:
                self._refuse(self._head_too_large())
        else:
            self._framing = 0

    def _more_of_the_body(self, data: bytes) -> None:
        """Parse more of a body; limit chunk sizes and trailers, which take memory but are not part of the body."""
        cycle, before = self.cycle, len(self.cycle.body)
        self._parse(data)
        if self.scope is self._ended or self.scope is not cycle.scope:
            self._framing = 0
            return
        body = len(cycle.body) - before
        self._framing += len(data) - 2 * body  # chunks of a byte or two are a waste, yet allowed for a while
        most = self._settings.max_header_bytes + (self._settings.max_body_bytes if cycle.response_complete else 0)
        if self._framing > most or len(self.headers) > self._settings.max_headers:
            self._refuse(self._head_too_large())

    def on_headers_complete(self) -> None:
        """Check a request's head against the limits; admit the request, or hold it to be refused."""
        if self.parser.should_upgrade() and self.parser.get_method() != CONNECT:
            return  # it will be parsed again
        fields = dict(self.headers)
        if (
            b"host" not in fields
            or b"transfer-encoding" in fields
            or len(fields) != len(self.headers)
            or len(fields) > self._settings.max_headers
            or self._piece > self._settings.max_header_bytes
            or self.pipeline
            or self.parser.should_upgrade()
            or self.parser.get_http_version() != "1.1"
        ):
            self._check_head()
        if self._admission is not None and not self._admission.has_room(len(self.tasks)) and self._may_be_refused():
            self._held = b""
        else:
            super().on_headers_complete()
        self.headers = []  # of trailers, for the request has the list so far

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = JoiningCycle
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _path(self) -> str:
        return self.url.partition(b"?")[0].decode("latin-1")

    def _may_be_refused(self) -> bool:
        """Return whether a refusal can be written now: no response is under way here, and the client reads."""
        return (
            self._path() not in ALWAYS
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and not self.transport.is_closing()
            and self.parser.get_method() != b"HEAD"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
        )

    def on_body(self, body: bytes) -> None:
        """Handle a piece of a request's body."""
        if self._held is None:
            super().on_body(body)
        else:
            self._held += body

    def on_message_complete(self) -> None:
        """Record that a request is complete, even one that is answered already, which uvicorn does not record."""
        if self.parser.should_upgrade():
            return  # it will be parsed again
        if self._held is not None:
            self._refuse_held()
        else:
            super().on_message_complete()
            if self.cycle is not None and self.cycle.scope is self.scope:
                self.cycle.scope[WHOLE_BODY] = len(self.cycle.body)  # type: ignore[literal-required]
        self._ended = self.scope
        if not self.parser.should_keep_alive():  # it reads no further; a trailer may have told it so
            if self.cycle is not None and not self.cycle.response_complete:
                self.cycle.keep_alive = False
            self._end_of_requests()

    def _refuse_held(self) -> None:
        """Refuse the request that has just ended; the connection goes on."""
        assert self._admission is not None
        self.transport.write(self._admission.refusal_message(self._path(), self.scope["headers"]))
        self.server_state.total_requests += 1
        self._answered, self._held = self.scope, None
        self.cycle = self.scope = None  # type: ignore[assignment]

    def _let_in(self) -> None:
        """Give the held request a task after all: its body is long, and a task can read it away."""
        held, self._held = self._held, None
        super().on_headers_complete()
        if held:
            super().on_body(held)

    def _check_head(self) -> None:
        version, hosts = self.parser.get_http_version(), sum(name == b"host" for name, _ in self.headers)
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if len(self.headers) > self._settings.max_headers or size > self._settings.max_header_bytes:
            self._refusal = self._head_too_large()
        elif len(self.pipeline) >= MAX_PIPELINED:
            self._refusal = MalformedRequest(f"More than {MAX_PIPELINED} requests wait on this connection.")
        elif self.parser.get_method() == CONNECT:
            self._refusal = MalformedRequest("CONNECT asks for a tunnel, and this server is no proxy.")
        elif version not in HOSTS:
            self._refusal = UnsupportedVersion(f"The version {version} of HTTP is not spoken here, but 1.1 and 1.0.")
        elif hosts not in HOSTS[version]:
            self._refusal = MalformedRequest("A request has exactly one field `Host`, in HTTP/1.0 at most one.")
        elif codings and version == "1.0":
            self._refusal = MalformedRequest("HTTP/1.0 has no Transfer-Encoding.")
        elif codings not in ([], [b"chunked"]):
            self._refusal = UnsupportedCoding("The only transfer coding that is read is `chunked`, once.")
        if self._refusal:
            raise self._refusal  # the parser stops

    def _head_too_large(self) -> HeadersTooLarge:
        return HeadersTooLarge(
            f"The request's line and header fields are more than the {self._settings.max_header_bytes:,} bytes, or the "
            f"{self._settings.max_headers} fields, that are read."
        )

    def on_response_complete(self) -> None:
        """Start the next pipelined request, as uvicorn does, but no idle timer: the sweep closes idle connections."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._last_words is not None:
            self._close()

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it
        """Answer what has come whole (see RFC 9112, 9.6), unless it takes so long that the client may have gone."""
        self._half_closed = True
        self._end_of_requests()
        if self.transport.is_closing():
            return False
        self.loop.call_later(HALF_CLOSED_S, self.transport.close)
        return True

    def shutdown(self) -> None:
        """Answer the requests that are here or on their way, then close."""
        self._close_when_idle(STOP_TURNS)

    def _close_when_idle(self, turns: int) -> None:
        if turns and (self.cycle is None or self.cycle.response_complete):
            self.loop.call_later(STOP_LINGER_S / STOP_TURNS, self._close_when_idle, turns - 1)
        else:
            super().shutdown()

    @property
    def unsent(self) -> int:
        """Unsent bytes, see connections.Connection, including those in the kernel's send buffer."""
        return int(self.transport.get_write_buffer_size()) + _in_the_kernel(self.transport.get_extra_info("socket"))

    def state(self) -> tuple[ConnectionState, object]:
        """See connections.Connection."""
        cycle = self.cycle
        latest = cycle or self._answered
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
            allowed = self._connections.allowed_s[wait]
            self._refuse(HeaderTimeout(f"The request's head did not come in {allowed:g} s."))
        else:
            self.transport.close()

    def _refuse(self, error: DigitVaeError) -> None:
        """Read no more; send an error, after the answers that are under way, and close the connection."""
        self._end_of_requests(http_message(error, self.url.decode("latin-1") if self.scope else ""))

    def _end_of_requests(self, last_words: bytes = b"") -> None:
        """Read no more requests; answer those that came whole, send the last words, and close the connection.

        The last words answer what came last and not whole. They are left out if that has its answer already.
        """
        if self._last_words is not None or self.transport.is_closing():
            return
        self._last_words = last_words
        self._held = None
        if self.cycle is not None and self.cycle.scope is self.scope and self.scope is not self._ended:
            self._break_off(self.cycle)
        if self._answering is None or self._answering.response_complete:
            self._close()

    def _break_off(self, cycle: RequestResponseCycle) -> None:
        """End the request of a cycle, whose body will not come whole."""
        if cycle is not self._answering:  # it waits for its turn
            self.pipeline.popleft()
            self.cycle = self._answering  # type: ignore[assignment]
            return
        if cycle.response_started:
            self._last_words = b""
            cycle.keep_alive = cycle.more_body = False
        else:
            cycle.disconnected = True
            self._answering = None
        cycle.message_event.set()

    def _close(self) -> None:
        self._connections.forget(self)
        if self._last_words:
            self.transport.write(self._last_words)
        if self._half_closed:
            self.transport.close()
        else:
            self._close_lingering()

    def _close_lingering(self) -> None:
        """Half-close and discard input for LINGER_S, so that the client can read the response (RFC 9112, 9.6)."""
        transport: Any = self.transport
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

    def __init__(self, left: LimitedHttpProtocol, connections: Connections) -> None:
        self._left = left
        self._connections = connections
        connections.leaving += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._connections.leaving -= 1
        self._left.connection_lost(exc)


def _malformed(error: httptools.HttpParserError) -> DigitVaeError:
    """Return the error for bytes that the parser refuses."""
    if "Content-Length overflow" in str(error):
        return BodyTooLarge("The declared length of the body is more than 64 bits hold.")
    return MalformedRequest("The bytes are not a request in HTTP/1.1 (RFC 9112).")


def _in_the_kernel(connection: socket.socket | None) -> int:
    """Return the number of bytes sent but not acknowledged; 0 if the system does not report it."""
    try:
        return int.from_bytes(fcntl.ioctl(connection or -1, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (OSError, ValueError):  # closed in the meantime
        return 0


def innermost(application: Any) -> Any:
    """Return the application inside of uvicorn's own layers, which hold what is inside them as `app`."""
    while hasattr(application, "app"):
        application = application.app
    return application
