"""Clients that keep a server waiting: with half a request, or by not reading the answer."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

HALF_A_HEADER = b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
HALF_A_BODY = HALF_A_HEADER + b'content-length: 14\r\n\r\n{"z": '
HALF_AN_UPLOAD = (
    b"POST /encode HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 1000000\r\n\r\n"
    + b"\x89" * 100_000
)
MIN_WINDOW = 4096  # bytes that the kernel takes for a client that reads nothing


def request(path: str) -> bytes:
    """A whole request, the last on its connection."""
    return f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()


@contextmanager
def connections(port: int, sent: bytes, number: int) -> Iterator[list[socket.socket]]:
    """As many connections to a port of the loopback, each of which has sent the same and reads nothing."""
    with ExitStack() as opened:
        found = [opened.enter_context(_connection(port)) for _ in range(number)]
        for each in found:
            each.sendall(sent)
        yield found


def _connection(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIN_WINDOW)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", port))
    return connection


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received
