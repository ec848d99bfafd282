"""Whom an address is counted as, which proxies are believed, and which origins can be meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.middleware.rate_limit import MAX_ADDRESS, client_address
from app.settings.values import parse_origins, parse_proxies


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


@pytest.mark.parametrize(
    ("text", "known"),
    [("*", "*"), ("10.0.0.7", "10.0.0.7/32"), ("10.1.2.3/8, ::1", "10.0.0.0/8,::1/128")],
)
def test_proxies_are_addresses_and_networks(text, known):
    assert parse_proxies(text) == known


@pytest.mark.parametrize("text", ["", ",", "proxy.local", "10.0.0.0/40", "*,10.0.0.7"])
def test_a_proxy_that_would_never_be_believed_is_refused(text):
    with pytest.raises(ValueError, match="addresses or networks"):
        parse_proxies(text)


@pytest.mark.parametrize(("peer", "seen"), [("10.9.9.9", "192.0.2.7"), ("192.0.2.8", "192.0.2.8")])
async def test_uvicorn_believes_the_proxies_that_are_named_and_nobody_else(peer, seen):
    met = []

    async def app(scope, receive, send):
        met.append(scope["client"][0])

    believing = ProxyHeadersMiddleware(app, parse_proxies("10.1.2.3/8"))
    headers = [(b"x-forwarded-for", b"203.0.113.1, 192.0.2.7")]
    await believing({"type": "http", "client": (peer, 1), "headers": headers}, None, None)
    assert met == [seen]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("*", ("*",)),
        ("https://example.org", ("https://example.org",)),
        ("http://localhost:3000, http://[::1]:8080", ("http://localhost:3000", "http://[::1]:8080")),
    ],
)
def test_origins_are_as_browsers_send_them(text, known):
    assert parse_origins(text) == known


@pytest.mark.parametrize(
    "text", ["", "example.org", "https://example.org/", "https://Example.org", "null", "*,https://a.b", "ftp://a.b"]
)
def test_an_origin_that_no_browser_sends_is_refused(text):
    with pytest.raises(ValueError, match=r"https://example\.org"):
        parse_origins(text)
