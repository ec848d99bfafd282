import asyncio
import errno
import json

from app.server.connections import Connections, ConnectionState
from tests.support.live import bounded

HEAD = b"GET /livez HTTP/1.1\r\nhost: service\r\n"
GET = HEAD + b"\r\n"


async def test_slow_callers_share_a_bound_on_what_is_unsent(settings):
    class Reader:
        def __init__(self, unsent):
            self.unsent = unsent
            self.dropped = False

        def state(self):
            return ConnectionState.READER, self

        def time_out(self, wait):
            self.dropped = True
            connections.forget(self)

    connections = Connections(settings.model_copy(update={"max_unsent_bytes": 100, "header_timeout_s": 0.2}))
    readers = []
    for unsent in (60, 30, 50):
        readers.append(Reader(unsent))
        assert connections.admit(readers[-1])
        await asyncio.sleep(2.5 * connections.sweep_s)
    assert [reader.dropped for reader in readers] == [True, False, False]


async def test_a_caller_that_has_gone_does_not_end_the_sweep_over_the_others(settings):
    class Gone:
        unsent = 0
        looks = 0

        def state(self):
            self.looks += 1
            return ConnectionState.HEAD, self

        def time_out(self, wait):
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    connections = Connections(settings.model_copy(update={"header_timeout_s": 0.1}))
    gone = [Gone(), Gone()]
    assert all(connections.admit(each) for each in gone)
    while min(each.looks for each in gone) < 20:  # it would be expired at each look from about the sixth on
        await asyncio.sleep(connections.sweep_s)
    for each in gone:
        connections.forget(each)


async def test_beyond_the_bound_an_idle_connection_makes_room_and_a_busy_one_does_not(settings):
    async with bounded(settings, max_connections=2, header_timeout_s=0.5) as live:
        idle, slow = await live.connect(), await live.connect()
        await idle.send(GET)
        await idle.answer()
        await slow.send(HEAD)
        await asyncio.sleep(0.15)
        assert await live.works()
        assert await idle.ended()
        third = await live.connect()
        await third.send(HEAD)
        await asyncio.sleep(0.05)
        refused = await live.connect()
        await refused.send(GET)
        status, fields, body = await refused.answer()
        assert (status, json.loads(body)["code"], fields["connection"]) == (503, "too-many-connections", "close")
        assert int(fields["retry-after"]) >= 1
        assert await refused.ended()
        assert len(live.connections) == 2
        await asyncio.sleep(1)  # the slow heads are closed
        assert await live.works()
