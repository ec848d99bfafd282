from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from app.client import ConnectionFailed, InvalidInput, Retries, TimedOut
from app.client.retries import Attempts, connection_error
from tests.support.clock import FakeClock, retries


def busy(after: str | None = None, status: int = 503) -> httpx.Response:
    return httpx.Response(status, headers={} if after is None else {"retry-after": after})


def test_retry_after_is_heeded():
    assert Attempts(retries(FakeClock())).wait(busy("7")) == 7
    assert Attempts(retries(FakeClock())).wait(busy("3", 429)) == 3


def test_retry_after_may_be_a_date():
    moment = datetime.now(UTC) + timedelta(seconds=20)
    seconds = Attempts(retries(FakeClock())).wait(busy(format_datetime(moment, usegmt=True)))
    assert seconds is not None
    assert 18 < seconds <= 20
    assert Attempts(retries(FakeClock())).wait(busy("Thu, 01 Jan 1970 00:00:00 -0000")) == 0


@pytest.mark.parametrize("after", [None, "soon", "-1", "1.5", ""])
def test_without_a_usable_retry_after_each_wait_is_twice_the_last(after):
    attempts = Attempts(retries(FakeClock(), attempts=4, first_s=0.5))
    assert [attempts.wait(busy(after)) for _ in range(4)] == [0.5, 1, 2, None]


def test_waits_are_spread():
    settings = Retries(spread=lambda: 0.5, clock=FakeClock(), first_s=1)
    assert Attempts(settings).wait(busy()) == 1.5
    assert Attempts(settings).wait(busy("4")) == 4.5


def test_the_whole_time_is_bounded():
    clock = FakeClock()
    attempts = Attempts(retries(clock, attempts=100, total_s=10))
    assert attempts.wait(busy("6")) == 6
    clock.time += 6
    assert attempts.wait(busy("6")) is None
    assert Attempts(retries(clock, total_s=10)).wait(busy("11")) is None


@pytest.mark.parametrize("status", [200, 304, 400, 404, 422, 500, 502, 504])
def test_any_other_answer_is_the_last_word(status):
    assert Attempts(retries(FakeClock())).wait(busy("1", status)) is None


@pytest.mark.parametrize(
    ("kind", "again"),
    [
        (httpx.ConnectError, True),
        (httpx.ConnectTimeout, True),
        (httpx.ReadError, True),
        (httpx.RemoteProtocolError, True),
        (httpx.PoolTimeout, True),
        (httpx.ReadTimeout, False),
        (httpx.WriteTimeout, False),
        (httpx.UnsupportedProtocol, False),
    ],
)
def test_a_broken_connection_is_tried_again_and_a_slow_answer_is_not(kind, again):
    assert (Attempts(retries(FakeClock())).wait(kind("no")) is not None) is again


def test_connection_errors_are_ours():
    assert type(connection_error(httpx.ReadTimeout("no"), "http://x")) is TimedOut
    error = connection_error(httpx.ConnectError("refused"), "http://x")
    assert type(error) is ConnectionFailed
    assert str(error) == "http://x cannot be reached: refused"


def test_there_is_at_least_one_attempt():
    with pytest.raises(InvalidInput):
        Retries(attempts=0)
