"""Which bytes are a request: h11 is the judge, over streams that are generated and cut anywhere."""

import asyncio
import json
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import h11
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from app.server.connections import Connections
from app.server.protocol import LimitedHttpProtocol
from app.settings import Settings
from tests.support.http_streams import TRAILERS, Seen, judged, streams


class Pipe(asyncio.Transport):
    """A transport that keeps what is written."""

    protocol: asyncio.BaseProtocol

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += bytes(data)

    def writelines(self, data: Any) -> None:
        self.write(b"".join(data))

    def close(self) -> None:
        self.closed = True

    abort = write_eof = close

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert self.protocol

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SETTINGS = Settings(model_store=Path())


@cache
def configured(app: Any) -> uvicorn.Config:
    config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None)
    config.load()
    config.loaded_app = app
    return config


@dataclass(frozen=True)
class Answer:
    """An answer, and the request as the application understood it; an error of the server's has none."""

    status: int
    seen: dict[str, str] | None
    closes: bool


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what was understood; `early` before the body is read, `slow` after some turns of the loop."""
    body, more = b"", True
    while more and b"early" not in scope["query_string"]:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    for _ in range(3):
        await asyncio.sleep(0)
    target = scope["raw_path"] + (b"?" + scope["query_string"]) * bool(scope["query_string"])
    seen = {"method": scope["method"], "target": target.decode("latin-1"), "body": body.hex()}
    headers = [(b"content-length", b"0"), (b"x-seen", json.dumps(seen).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def exchange(
    pieces: list[bytes], app: Any = echo, turns: int = 1, eof: bool = False
) -> tuple[list[Answer], bool]:
    """Send the pieces, so many turns of the loop apart; return every answer, and whether the connection was closed."""
    protocol = LimitedHttpProtocol(
        Connections(SETTINGS), config=configured(app), server_state=ServerState(), app_state={}
    )
    pipe = Pipe()
    pipe.protocol = protocol
    protocol.connection_made(pipe)
    for piece in pieces:
        if not pipe.closed:
            protocol.data_received(piece)
        for _ in range(turns):
            await asyncio.sleep(0)
    if eof and not pipe.closed and not protocol.eof_received():
        pipe.close()
    for _ in range(40):
        await asyncio.sleep(0)
    closed = pipe.closed
    if not closed:
        protocol.connection_lost(None)
    for _ in range(5):
        await asyncio.sleep(0)
    return answers(pipe.written), closed


def answers(written: bytes) -> list[Answer]:
    """Return what was answered; each answer is whole, and nothing stands between them."""
    found: list[Answer] = []
    while written:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
        client.send(h11.EndOfMessage())
        client.receive_data(written)
        while isinstance(answer := client.next_event(), h11.InformationalResponse):
            pass
        if answer is h11.NEED_DATA and written.endswith(CONTINUE):
            return found  # the body did not come
        assert isinstance(answer, h11.Response), written
        while isinstance(event := client.next_event(), h11.Data):
            pass
        assert isinstance(event, h11.EndOfMessage), written
        seen = json.loads(dict(answer.headers).get(b"x-seen", b"null"))
        closes = (b"connection", b"close") in list(answer.headers)
        found.append(Answer(answer.status_code, seen, closes))
        written = client.trailing_data[0]
    return found


def check(stream: bytes, found: list[Answer], closed: bool) -> None:
    """Compare the answers to a stream with what h11 read in it."""
    wanted = judged(stream)
    understood = [each.seen for each in found if each.seen is not None]
    assert understood == [told(each) for each in wanted.requests[: len(understood)]]
    assert all(each.seen is None for each in found[len(understood) :])
    assert len(found) <= len(understood) + 1  # one error, after which nothing is read
    assert closed or len(understood) == len(found) == len(wanted.requests)


def told(request: Seen) -> dict[str, str]:
    """Return a request as `echo` tells it; an absolute target is told by its path (RFC 9112, 3.2.2)."""
    method, target, body = request
    return {"method": method.decode(), "target": target.removeprefix(b"http://h").decode("latin-1"), "body": body.hex()}


def read_as_h11_does(stream: bytes, cuts: list[int]) -> None:
    """Check a stream in one piece, byte by byte, and cut at some places."""
    places = [0, *sorted(cuts), len(stream)]
    for pieces in (
        [stream],
        [stream[i : i + 1] for i in range(len(stream))],
        [stream[a:b] for a, b in pairwise(places)],
    ):
        check(stream, *asyncio.run(exchange(pieces)))


@pytest.mark.parametrize(
    "examples",
    [
        150,
        pytest.param(2_000, marks=pytest.mark.slow),
        pytest.param(40_000, marks=[pytest.mark.slow, pytest.mark.long]),
    ],
)
def test_generated_streams_give_what_h11_reads_in_them(examples):
    """A stream has two and a half requests, on average."""
    anything = given(streams(), st.lists(st.integers(0, 1000), max_size=4))
    settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))(
        anything(read_as_h11_does)
    )()


HOST = b"Host: h\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


async def statuses(*pieces: bytes, app: Any = echo) -> tuple[list[int], bool]:
    found, closed = await exchange(list(pieces), app)
    return [each.status for each in found], closed


@pytest.mark.parametrize("trailer", TRAILERS, ids=lambda field: field.decode())
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_a_trailer_is_no_header_field(trailer, in_pieces):
    seen: list[Any] = []

    async def app(scope, receive, send):
        await echo(scope, receive, send)
        seen.append(scope["headers"])

    pieces = [CHUNKED + b"1\r\nx\r\n0\r\n", trailer + b"\r\n\r\n", GET]
    found, closed = await statuses(*(pieces if in_pieces else [b"".join(pieces)]), app=app)
    assert found in ([200, 200], [200], [400])
    assert closed == (found != [200, 200])
    for fields in seen[:1]:
        assert fields == [(b"host", b"h"), (b"transfer-encoding", b"chunked")]


async def test_a_trailer_that_closes_lets_the_answer_say_so():
    found, closed = await exchange([CHUNKED + b"0\r\nConnection: close\r\n\r\n" + GET])
    assert [(each.status, each.closes) for each in found] == [(200, True)]
    assert closed


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n", 400),
        (b"GET / HTTP/1.0\r\n", 200),
        (b"GET / HTTP/0.9\r\n" + HOST, 505),
        (b"GET / HTTP/2.0\r\n" + HOST, 505),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n" + HOST, 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" + HOST, 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + HOST, 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" + HOST, 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n" + HOST, 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n" + HOST, 413),
        (b"CONNECT h:1 HTTP/1.1\r\n" + HOST, 400),
    ],
)
async def test_heads_that_are_wrong(head, status):
    for pieces in ([head + b"\r\n"], [head, b"\r\n"], [GET + head + b"\r\n" + GET]):
        found, closed = await statuses(*pieces)
        assert found == [200] * (pieces[0] is not head and pieces[0].startswith(GET)) + [status]
        assert closed


@pytest.mark.parametrize("unfinished", [b"", b"GET /", CHUNKED + b"1\r\nx", GET[:-2]])
@pytest.mark.parametrize("n", [0, 1, 3])
async def test_what_came_whole_before_a_half_close_is_answered(unfinished, n):
    found, closed = await exchange([GET * n + unfinished], eof=True)
    assert [each.status for each in found] == [200] * n
    assert closed


async def test_an_answer_to_a_body_that_was_not_sent_yet_ends_the_connection():
    head = b"POST /?early HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    found, closed = await exchange([head], turns=9)
    assert [(each.status, each.closes) for each in found] == [(200, True)]
    assert closed
    found, closed = await exchange([head + b"x"], turns=9)
    assert [(each.status, each.closes) for each in found] == [(200, False)]
    assert not closed


@pytest.mark.parametrize("junk", [b"\x16\x03\x01", b"x" * 40_000, b"GET / HTTP/1.1\r\nX Y: z\r\n\r\n"])
async def test_what_came_before_junk_is_answered(junk):
    for pieces in ([GET + junk], [GET, junk], [GET * 3 + junk + GET]):
        found, closed = await statuses(*pieces)
        assert set(found[:-1]) == {200}
        assert len(found) == len(b"".join(pieces).removesuffix(GET).split(GET[:20]))
        assert found[-1] in (400, 431)
        assert closed


@pytest.mark.parametrize("target", [b"/", b"/?early"])
@pytest.mark.parametrize("tail", [b"0\r\nContent-Length: 5\r\n\r\n", b"z\r\n", b"1\r\nxx"])
async def test_a_request_whose_body_is_broken_has_one_answer(target, tail):
    head = CHUNKED.replace(b"/ ", target + b" ", 1)
    for pieces in ([head + tail + GET], [head, tail, GET], [GET + head, tail]):
        found, closed = await statuses(*pieces)
        assert len(found) == 1 + (pieces[0].startswith(GET))
        assert found[-1] == 400
        assert closed
    answered, closed = await exchange([head, tail, GET], turns=9)
    assert [each.status for each in answered] == [200 if b"early" in target else 400]
    assert closed
