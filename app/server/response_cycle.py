"""A response's head and body in one packet.

uvicorn writes the head when the application starts its response and the body when that comes, each with a system call,
and the client wakes up twice. On a digit of 900 bytes the second call costs as much as the routing.
"""

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

# Joining copies; what is larger than this is handed over as it is, for one system call all the same.
MAX_JOINED_BYTES = 65536
FRAMING = frozenset((b"connection", b"transfer-encoding"))  # fields that uvicorn acts upon
FIELD = b"%b: %b\r\n"


class JoiningCycle(RequestResponseCycle):
    """uvicorn's cycle, which writes a response at once if it is whole, and else as uvicorn does.

    It waits with the head until the application sends the first piece of the body. The protocol makes uvicorn's cycle
    one of these (`cycle.__class__`), since uvicorn cannot be told to.
    """

    _start: Message | None = None  # of a response of which nothing is written yet

    async def send(self, message: Message) -> None:  # type: ignore[override]  # the same messages, otherwise typed
        """Take a message of the response; see ASGI."""
        if message["type"] == "http.response.start" and not self.response_started:
            if self.waiting_for_100_continue and self.more_body:  # the body may come, or may not (RFC 9110, 10.1.1)
                self.keep_alive = False
            self._start = message  # or a second one, if the application failed after the first
            return
        start, self._start = self._start, None
        if start is not None:
            head = self._head(start, message["body"]) if self._is_usual(message) else None
            if head is not None:
                self._write(head, message["body"])
                return
            await super().send(start)  # type: ignore[arg-type]
        await super().send(message)  # type: ignore[arg-type]

    def _is_usual(self, message: Message) -> bool:
        """Return whether a message is the whole body, and nothing but header fields has to be known before it."""
        return (
            message["type"] == "http.response.body"
            and not message.get("more_body")
            and self.keep_alive
            and not self.access_log
            and not self.disconnected
            and not self.flow.write_paused
            and self.scope["method"] != "HEAD"
        )

    def _head(self, start: Message, body: bytes) -> bytes | None:
        """Return the head of a response with this body; None if its length is another or uvicorn acts upon a field."""
        fields = [*self.default_headers, *start["headers"]]
        by_name = dict(fields)
        if by_name.get(b"content-length") != b"%d" % len(body) or not FRAMING.isdisjoint(by_name):
            return None
        head = b"%b%b\r\n" % (STATUS_LINE[start["status"]], b"".join(map(FIELD.__mod__, fields)))
        if not head.count(b"\n") == head.count(b"\r") == len(fields) + 2:
            raise RuntimeError("A header field has a line break in it.")
        return head

    def _write(self, head: bytes, body: bytes) -> None:
        self.response_started = self.response_complete = True
        if len(body) <= MAX_JOINED_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))
        self.message_event.set()
        self.on_response()
