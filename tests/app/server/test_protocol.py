"""What a caller may do to a connection: each bound met over a real socket, and good traffic beside it."""

import asyncio
import functools
import json
import pickle
import socket

import pytest

from app.server.connections import Connections
from app.server.protocol import MAX_PIPELINED, RESET, LimitedHttpProtocol
from tests.support.live import BODY, GOOD, POST, Caller, bounded, serving

HEAD = b"GET /livez HTTP/1.1\r\nhost: service\r\n"
GET = HEAD + b"\r\n"
QUICK = {"header_timeout_s": 0.2, "body_timeout_s": 0.2, "idle_timeout_s": 0.2, "send_timeout_s": 0.2}
INFER = b"POST /v2/models/generator/infer HTTP/1.1\r\nhost: service\r\ncontent-length: 100\r\n"


async def test_too_many_header_fields_are_refused(settings):
    async with bounded(settings, max_headers=20) as live:
        caller = await live.connect()
        await caller.send(HEAD + b"".join(b"x-%d: 1\r\n" % i for i in range(19)) + b"\r\n")
        assert (await caller.answer())[0] == 200
        await caller.send(HEAD + b"".join(b"x-%d: 1\r\n" % i for i in range(20)) + b"\r\n")
        assert await caller.problem() == (431, "headers-too-large")
        assert await live.works()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(HEAD + b"x: " + b"y" * 2000 + b"\r\n\r\n", id="a field"),
        pytest.param(b"GET /livez?" + b"y" * 2000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", id="an address"),
        pytest.param(HEAD + b"x: " + b"y" * 2_000_000, id="a field without an end"),
        pytest.param(b"GET /" + b"y" * 2_000_000, id="an address without an end"),
        pytest.param(HEAD + b"x: y\r\n" * 100_000, id="fields without an end"),
    ],
)
async def test_a_head_that_is_too_long_is_refused(settings, head):
    async with bounded(settings, max_header_bytes=1024) as live:
        caller = await live.connect()
        caller.writer.write(head)
        assert await caller.problem() == (431, "headers-too-large")
        assert await live.works()


async def test_a_head_that_comes_in_pieces_is_read_and_the_body_behind_it_counts_for_nothing(settings):
    async with bounded(settings, max_header_bytes=1024) as live:
        caller = await live.connect()
        zeros = b'{"z":[' + b" " * 9000 + b"0,0]}"
        request = POST + b"content-length: %d\r\n\r\n%b" % (len(zeros), zeros)
        for piece in (request[:30], request[30:70], request[70:]):
            await caller.send(piece)
            await asyncio.sleep(0.02)
        assert (await caller.answer())[0] == 200


async def send_what_nobody_reads(caller: Caller) -> None:
    """A body that follows its answer."""
    await caller.send(b"POST /nowhere HTTP/1.1\r\nhost: service\r\ncontent-length: 500000\r\n\r\n")
    assert (await caller.answer())[0] == 404
    await caller.send(bytes(500_000))


async def test_bodies_that_nobody_reads_are_each_counted_for_themselves(settings):
    async with bounded(settings) as live:
        caller = await live.connect()
        for _ in range(5):
            await send_what_nobody_reads(caller)
        for piece in (GOOD[:20], GOOD[20:]):
            await caller.send(piece)
            await asyncio.sleep(0.02)
        assert (await caller.answer())[0] == 200


async def test_behind_a_body_that_nobody_reads_a_connection_is_idle(settings):
    async with bounded(settings, idle_timeout_s=0.2) as live:
        caller = await live.connect()
        await send_what_nobody_reads(caller)
        assert await caller.ended()


@pytest.mark.parametrize("tail", [b"x: " + b"y" * 200_000, b"x: y\r\n" * 300, b"x: y\r\n" * 20_000])
async def test_trailers_are_bounded(settings, tail):
    async with bounded(settings, max_header_bytes=1024) as live:
        caller = await live.connect()
        await caller.send(POST + b"transfer-encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.05)
        caller.writer.write(b"1\r\n{\r\n0\r\n" + tail)
        assert await caller.problem() == (431, "headers-too-large")
        assert await caller.ended()
        assert await live.works()


async def test_a_body_in_chunks_is_read_whatever_their_size(settings):
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(POST + b"transfer-encoding: chunked\r\n\r\n")
        for byte in BODY:
            await caller.send(b"1\r\n%c\r\n" % byte)
        await caller.send(b"0\r\n\r\n")
        assert (await caller.answer())[0] == 200


@pytest.mark.parametrize(
    ("begun", "told"),
    [(HEAD, True), (b"G", True), (HEAD + b"x: ", True), (b"", False), (b"\r\n\r\n", False)],
)
async def test_a_head_that_does_not_come_is_not_waited_for(settings, begun, told):
    async with bounded(settings, **QUICK) as live:
        caller = await live.connect()
        await caller.send(begun)
        assert (await caller.problem() == (408, "header-timeout")) if told else await caller.ended()
        assert await live.works()


@pytest.mark.parametrize("drip", [b"x: y\r\n", b"\r\n"])
async def test_a_byte_now_and_then_buys_no_time(settings, drip):
    async with bounded(settings, **QUICK) as live:
        caller = await live.connect()
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await caller.send(HEAD if drip.strip() else drip)
        ended = asyncio.create_task(caller.reader.read())
        while not ended.done() and loop.time() < begin + 3:
            caller.writer.write(drip)
            await asyncio.sleep(0.02)
        assert ended.done()
        ended.cancel()


@pytest.mark.parametrize("begun", [b"", BODY[:4]])
async def test_a_body_that_does_not_come_is_not_waited_for(settings, begun):
    async with bounded(settings, **QUICK) as live:
        for head, form in ((POST, "application/problem+json"), (INFER, "application/json")):
            for more in (b"", b"x-long-way: 1\r\naccept: application/json, */*\r\n"):
                caller = await live.connect()
                length = b"" if b"content-length" in head else b"content-length: 100\r\n"
                await caller.send(head + more + length + b"\r\n" + begun)
                status, fields, body = await caller.answer()
                assert (status, fields["content-type"], fields["connection"]) == (408, form, "close")
                assert json.loads(body).get("code", "body-timeout") == "body-timeout"
                assert await caller.ended()
        assert await live.works()


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(settings):
    async with bounded(settings, **QUICK) as live:
        idle, busy = await live.connect(), await live.connect()
        await idle.send(GET)
        await idle.answer()
        for _ in range(30):
            await busy.send(GET)
            assert (await busy.answer())[0] == 200
            await asyncio.sleep(0.02)
        assert await idle.ended(0.01)
        assert len(live.connections) == 1


async def test_the_rest_of_a_refused_body_is_not_waited_for(settings):
    async with bounded(settings, **QUICK) as live:
        caller = await live.connect()
        await caller.send(b"POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n")
        assert (await caller.answer())[0] == 404
        assert await caller.ended()


async def test_the_rest_of_a_refused_body_is_read_away_up_to_the_bound_on_bodies(settings):
    async with bounded(settings, max_body_bytes=2**17) as live:
        for size, ends in ((2**16, False), (2**21, True)):
            caller = await live.connect()
            await caller.send(b"POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
            assert (await caller.answer())[0] == 404
            caller.writer.write(bytes(size) + GET)
            if ends:
                assert await caller.ended()
            else:
                assert (await caller.answer())[0] == 200


async def to_the_end(connection: socket.socket) -> None:
    while await asyncio.get_running_loop().sock_recv(connection, 65536):
        pass


@pytest.mark.parametrize("rows", [30, 1000])  # 100 kB stay in the kernel's buffers, 3 MB do not fit them
async def test_a_caller_that_does_not_take_its_answer_is_cut_off(settings, rows):
    # idle_timeout_s would close the connection politely, which waits for the caller for ever
    async with bounded(settings, **{**QUICK, "idle_timeout_s": 60}) as live:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", live.port))
            slow.setblocking(False)
            zeros = b"0," * (2 * rows - 1) + b"0"
            wanted = b'{"inputs":[{"name":"z","shape":[%d,2],"datatype":"FP32","data":[%b]}]}' % (rows, zeros)
            head = b"POST /v2/models/generator/infer HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(slow, head % len(wanted) + wanted)
            for _ in range(100):
                await asyncio.sleep(0.03)
                if not len(live.connections):
                    break
            assert len(live.connections) == 0
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(to_the_end(slow), 3)
        assert await live.works()


async def test_a_caller_that_resets_while_it_is_refused_is_let_go(settings):
    async with bounded(settings, max_header_bytes=1024) as live:
        with socket.create_connection(("127.0.0.1", live.port)) as caller:
            caller.sendall(POST + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n" + b"x: y\r\n" * 300)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        while len(live.connections):
            await asyncio.sleep(0.02)
        assert await live.works()


@pytest.mark.parametrize("junk", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n"])
async def test_what_is_no_http_is_a_problem(settings, junk):
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(junk)
        assert await caller.problem() == (400, "malformed-request")


async def test_a_half_closed_connection_has_its_answer(settings):
    async with bounded(settings) as live:
        caller = await live.connect()
        caller.writer.write(GOOD * 2)
        caller.writer.write_eof()
        for _ in range(2):
            assert (await caller.answer())[0] == 200
        assert await caller.ended(within_s=1)


async def test_requests_that_wait_on_one_connection_are_bounded(settings):
    async with bounded(settings) as live:
        caller = await live.connect()
        await caller.send(GOOD * MAX_PIPELINED)
        for _ in range(MAX_PIPELINED):
            assert (await caller.answer())[0] == 200
        await caller.send(GOOD * (MAX_PIPELINED + 10))
        for _ in range(MAX_PIPELINED + 1):  # one has its turn, and so many wait
            assert (await caller.answer())[0] == 200
        assert await caller.problem() == (400, "malformed-request")
        assert await caller.ended()


async def test_many_slow_callers_leave_good_traffic_alone(settings):
    async with bounded(settings, header_timeout_s=0.5, body_timeout_s=0.5) as live:
        slow = [await live.connect() for _ in range(200)]
        for i, caller in enumerate(slow):
            await caller.send(HEAD if i % 2 else POST + b"content-length: 100\r\n\r\n{")
        assert all([await live.works() for _ in range(50)])
        assert [(await caller.answer())[0] for caller in slow] == [408] * 200
        assert len(live.connections) == 0


async def test_it_can_be_handed_to_a_new_process(settings):
    http = functools.partial(LimitedHttpProtocol, Connections(settings))
    again = pickle.loads(pickle.dumps(http))
    assert again.args[0].settings == http.args[0].settings

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with serving(app, again) as port:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", port))
        await caller.send(GET)
        assert (await caller.answer())[2] == b"ok"
        await caller.close()
