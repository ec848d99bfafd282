"""Streams of requests as a caller might send them, good and bad, and what h11 makes of each."""

from dataclasses import dataclass
from typing import NamedTuple

import h11
from hypothesis import strategies as st

TRAILERS = (
    b"Accept: application/json", b"Authorization: Bearer x", b"Connection: close", b"Connection: Upgrade",
    b"Content-Encoding: gzip", b"Content-Length: 5", b"Content-Type: text/plain", b"Cookie: a=b",
    b"Expect: 100-continue", b"Host: other", b"If-None-Match: *", b"Keep-Alive: timeout=1", b"Max-Forwards: 0",
    b"Proxy-Connection: close", b"TE: trailers", b"Trailer: Host", b"Transfer-Encoding: chunked", b"Upgrade: h2c",
    b"X-API-Key: stolen", b"X-Forwarded-For: 9.9.9.9", b"X-Request-ID: from-a-trailer",
)  # fmt: skip
METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"PURGE", b"get", b"G@T", b"")
TARGETS = (b"/", b"/a?b=c", b"/%41", b"http://h/p", b"*", b"h:80", b"/\xff", b"/a b", b"/a\x00", b"")
VERSIONS = (b"1.1", b"1.1", b"1.1", b"1.1", b"1.0", b"2.0", b"0.9", b"1.2", b"1", b"11.1")
NEXT = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
BODIES = (b"", b"x", b'{"z":[0,0]}', NEXT, b"0\r\n\r\n", b"\r\n", bytes(range(256)))
FIELDS = (
    b"Accept: */*", b"Connection: close", b"Connection: keep-alive", b"Connection: keep-alive, Upgrade",
    b"Connection: Upgrade, HTTP2-Settings", b"Connection: x, close", b"Connection: ,", b"Expect: 100-continue",
    b"Expect: 100-Continue", b"Expect: other", b"Upgrade: websocket", b"Upgrade: h2c", b"X: " + b"y" * 99,
    b"X:", b"X:\ty ", b"X: \xe4", b"TE: trailers", b"Proxy-Connection: close", b"Keep-Alive: 1",
)  # fmt: skip
ODD_FIELDS = (
    b"X : y", b" X: y", b"X: a\r\n b", b"X: a\nY: b", b"X: a\rb", b"X: a\x00b", b"X", b": y", b"X@: y",
    b"Host: a", b"Host: b", b"Host:", b"Content-Length: 0", b"Content-Length: 3", b"Content-Length: 1, 1",
    b"Content-Length: -1", b"Content-Length: +1", b"Content-Length: 0x1", b"Content-Length: 1_0",
    b"Content-Length: 9999999999999999999", b"Content-Length: 99999999999999999999", b"Content-Length:",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked", b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding:", b"Transfer-Encoding: \x0bchunked",
)  # fmt: skip
SIZES = (
    b"%x",
    b"%X",
    b"0%x",
    b"000%x",
    b"%x;a",
    b'%x;a="b"',
    b"%x;a=b;c",
    b"%x ",
    b" %x",
    b"0x%x",
    b"+%x",
    b"%x\t",
    b"-%x",
)


class Seen(NamedTuple):
    """A request as a parser understood it."""

    method: bytes
    target: bytes
    body: bytes


@dataclass(frozen=True)
class Judged:
    """What h11 makes of a stream: its whole requests in order, and whether it would read another."""

    requests: tuple[Seen, ...]
    refused: bool  # what followed is no request
    ended: bool  # by `Connection: close` or HTTP/1.0


def judged(stream: bytes) -> Judged:
    """Read a stream as h11's server does, answering each request.

    h11 takes no empty line before a request, which RFC 9112 (2.2) asks for: such lines are left out.
    """
    found: list[Seen] = []
    try:
        while stream := stream.removeprefix(b"\r\n"):
            server = h11.Connection(h11.SERVER)
            server.receive_data(stream)
            request = _whole(server)
            if request is None:
                break
            found.append(request)
            server.send(h11.Response(status_code=400, headers=[("content-length", "0")]))
            server.send(h11.EndOfMessage())
            if server.our_state is h11.MUST_CLOSE:
                return Judged(tuple(found), refused=False, ended=True)
            stream = server.trailing_data[0]
    except h11.RemoteProtocolError:
        return Judged(tuple(found), refused=True, ended=True)
    return Judged(tuple(found), refused=False, ended=False)


def _whole(server: h11.Connection) -> Seen | None:
    """Return the next request, or None if it is not there whole."""
    request, body = server.next_event(), b""
    while isinstance(request, h11.Request):
        event = server.next_event()
        if isinstance(event, h11.EndOfMessage):
            return Seen(request.method, request.target, body)
        if not isinstance(event, h11.Data):
            break
        body += event.data
    return None


def rarely(usual: st.SearchStrategy[bytes], odd: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Draw from `odd` one time in ten."""
    return st.integers(0, 9).flatmap(lambda n: usual if n else odd)


@st.composite
def chunks(draw: st.DrawFn, body: bytes) -> bytes:
    """Draw a body in chunks, with extensions and trailers."""
    out, left = b"", body
    while left:
        n = draw(st.integers(1, len(left)))
        size = draw(rarely(st.sampled_from(SIZES[:7]), st.sampled_from(SIZES)))
        out += size % n + b"\r\n" + left[:n] + draw(rarely(st.just(b"\r\n"), st.sampled_from((b"\n", b"", b"x\r\n"))))
        left = left[n:]
    trailers = draw(st.lists(rarely(st.sampled_from(TRAILERS), st.sampled_from(ODD_FIELDS)), max_size=3))
    return out + b"0\r\n" + b"".join(each + b"\r\n" for each in trailers) + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Draw one request, most often a good one."""
    method = draw(rarely(st.sampled_from(METHODS[:4]), st.sampled_from(METHODS)))
    target = draw(rarely(st.sampled_from(TARGETS[:3]), st.sampled_from(TARGETS)))
    version = draw(st.sampled_from(VERSIONS))
    fields = draw(st.lists(rarely(st.sampled_from(FIELDS), st.sampled_from(ODD_FIELDS)), max_size=4))
    fields += draw(rarely(st.just(b"Host: h"), st.just(b""))).splitlines()
    body = draw(st.sampled_from(BODIES))
    framing = draw(st.sampled_from(("length", "chunked", "none")))
    if framing == "chunked":
        fields.append(b"Transfer-Encoding: chunked")
        body = draw(chunks(body))
    elif framing == "length":
        fields.append(b"Content-Length: %d" % len(body))
    else:
        body = draw(rarely(st.just(b""), st.just(body)))
    head = [b"%b %b HTTP/%b" % (method, target, version), *draw(st.permutations(fields))]
    return b"".join(line + b"\r\n" for line in head) + b"\r\n" + body


def streams() -> st.SearchStrategy[bytes]:
    """Draw a stream of one to four requests, which may break off."""
    whole = st.lists(requests(), min_size=1, max_size=4).map(b"".join)
    return rarely(whole, st.tuples(whole, st.integers(0, 2000)).map(lambda drawn: drawn[0][: drawn[1]]))
