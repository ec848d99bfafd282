"""uvicorn's HTTP protocol, ignoring `Upgrade`, as a server may that offers no other protocol (RFC 9110, 7.8).

llhttp stops parsing HTTP at the end of such a head: the body would be lost, or be parsed as the next request. Java's
HttpClient sends the field with every first request, and so do proxies set up for WebSockets.
"""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CONNECT = b"CONNECT"


class UpgradeIgnoringProtocol(HttpToolsProtocol):
    """uvicorn's protocol that parses a request with `Upgrade` as one without it."""

    def data_received(self, data: bytes) -> None:
        """Parse bytes from the client. A head with `Upgrade` is parsed a second time, without that field."""
        try:
            while data:
                try:
                    self.parser.feed_data(data)
                    return
                except httptools.HttpParserUpgrade as stop:
                    data = self._head_without_upgrade() + data[stop.args[0] :]
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("")

    def ignores_message(self) -> bool:
        """Return whether the parser is at a message that will be parsed again without `Upgrade`."""
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != CONNECT

    def _head_without_upgrade(self) -> bytes:
        """Replace the stopped parser by a new one; return the head, without `Upgrade`, for it to begin with."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(fields))
