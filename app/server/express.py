"""Small requests answered or refused before the event loop turns: uvicorn's HTTP protocol, which asks the application.

on_headers_complete --takes--> Express --answer--> the whole answer, written at once; or the usual way, from the start

uvicorn makes a task of each request, with an event, a context and a dozen awaits, none of which a digit needs that is
computed here and now. Together they take as long as the model. Nothing is decided differently: what is read and
answered comes from the same functions, and whatever would have to wait, or is bad, begins anew on the usual way.
"""

from __future__ import annotations

from typing import Any, Protocol

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.server.corking import CorkedProtocol

Reply = tuple[int, bytes, bytes]  # status, header fields, each with its line end, and content


class Express(Protocol):
    """What an application offers as `express`, if it can answer at once."""

    def takes(self, target: bytes) -> bool:
        """Whether a request for this path and query, of which nothing else is known yet, may be answered at once."""

    def answer(self, scope: Scope, body: bytes) -> Reply | None:
        """Return the response; None for the regular path."""


class ExpressProtocol(CorkedProtocol):
    """To be given to uvicorn as `http`."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._express: Express | None = getattr(self.app, "express", None)
        self._held: bytes | None = None  # the body of a request that is not on its way yet
        self.answered: Scope | None = None  # the latest request, if it was answered at once

    def data_received(self, data: bytes) -> None:
        """Bytes from the client. A request that does not end with them takes the usual way."""
        super().data_received(data)
        if self._held is not None:
            self._let_go()

    def on_headers_complete(self) -> None:
        """Handle the end of a request's head."""
        if self._express is not None and self._express.takes(self.url) and self._is_free():
            self._held = b""
        else:
            super().on_headers_complete()

    def _is_free(self) -> bool:
        """Whether an answer can be written now: nothing is under way here, and the client reads."""
        return (
            (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and not self.transport.is_closing()
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
        """Handle the end of a request."""
        if self._held is None:
            super().on_message_complete()
        elif self._answered_at_once():
            self._held = None
        else:
            self._let_go()
            super().on_message_complete()

    def _answered_at_once(self) -> bool:
        assert self._express is not None
        assert self._held is not None
        scope: Any = self.scope
        scope["method"], scope["path"], scope["query_string"] = (
            self.parser.get_method().decode(),
            self.url.decode(),
            b"",
        )
        reply = self._express.answer(scope, self._held)
        if reply is None:
            return False
        status, fields, content = reply
        self.answered, self.cycle, self.scope = scope, None, None  # type: ignore[assignment]
        self.server_state.total_requests += 1
        common = b"".join([b"%b: %b\r\n" % field for field in self.server_state.default_headers])
        transport: Any = self.transport
        transport.send(b"".join((STATUS_LINE[status], common, fields, b"\r\n", content)))
        return True

    def _let_go(self) -> None:
        """Take the regular path, from its beginning."""
        held, self._held = self._held, None
        super().on_headers_complete()
        if held:
            super().on_body(held)
