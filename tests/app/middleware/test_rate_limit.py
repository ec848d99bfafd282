"""The token buckets, on a clock that the test moves, and whom an address is counted as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.middleware.rate_limit import MAX_ADDRESS, RateLimit, client_address
from app.settings.values import Rate


class Clock:
    def __init__(self, now: float = 1e6) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_a_full_bucket_is_a_burst_and_then_the_rate_holds():
    clock = Clock()
    limit = RateLimit(Rate(10, "s"), burst=3, clock=clock)
    assert [limit.wait("a") for _ in range(3)] == [0, 0, 0]
    assert limit.wait("a") == pytest.approx(0.1)
    clock.now += 0.1
    assert limit.wait("a") == 0
    assert limit.wait("a") == pytest.approx(0.1)
    clock.now += 60
    assert [limit.wait("a") == 0 for _ in range(4)] == [True, True, True, False]


def test_without_a_burst_the_bucket_holds_a_period():
    limit = RateLimit(Rate(6, "min"), clock=Clock())
    assert [limit.wait("a") == 0 for _ in range(7)] == [True] * 6 + [False]
    assert limit.wait("a") == pytest.approx(10)


def test_callers_do_not_share():
    limit = RateLimit(Rate(1, "s"), clock=Clock())
    assert [limit.wait(caller) == 0 for caller in ("a", "a", "b", "b")] == [True, False, True, False]


def test_the_callers_that_are_kept_are_the_latest():
    limit = RateLimit(Rate(1, "h"), clock=Clock(), max_callers=2)
    limit.wait("a")
    limit.wait("b")
    assert limit.wait("a") > 0  # refused, and seen again
    limit.wait("c")
    assert limit.wait("a") > 0
    assert limit.wait("b") == 0  # forgotten, so it begins anew


@given(
    count=st.integers(1, 1000),
    period=st.sampled_from(["s", "min", "h"]),
    burst=st.integers(1, 50),
    steps=st.lists(st.floats(0, 100), max_size=200),
)
def test_no_caller_gets_more_than_burst_and_rate_and_whoever_waits_as_told_gets_in(count, period, burst, steps):
    clock = Clock()
    limit = RateLimit(Rate(count, period), burst, clock)
    began, admitted = clock.now, 0
    for step in steps:
        clock.now += step
        wait_s = limit.wait("a")
        assert wait_s >= 0
        admitted += wait_s == 0
        assert admitted <= burst + Rate(count, period).per_s * (clock.now - began) + 1e-3
        if wait_s:
            clock.now += wait_s + 1e-9 * clock.now / 1e3
            assert limit.wait("a") == 0
            admitted += 1


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        (("192.0.2.7", 5), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::", 5), "2001:db8:1:2::/64"),
        (("::ffff:192.0.2.7", 5), "192.0.2.7"),
        (("fe80::1%eth0", 5), "fe80::/64"),
        (("testclient", 5), "testclient"),
        (("no:address", 0), "no:address"),
        (None, "unknown"),
    ],
)
def test_an_address_is_counted_as_its_subscriber(client, counted):
    assert client_address(client) == counted


@given(st.text())
def test_whatever_a_proxy_hands_on_is_counted_and_short(host):
    assert len(client_address((host, 0))) <= MAX_ADDRESS
