"""Which rates, proxies and origins can be meant."""

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.settings.values import parse_origins, parse_proxies, parse_rate


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


@pytest.mark.parametrize(("text", "per_s"), [("100/s", 100), ("6000/min", 100), (" 36/h ", 0.01), ("1/s", 1)])
def test_a_rate_is_a_number_and_a_period(text, per_s):
    assert parse_rate(text).per_s == pytest.approx(per_s)
    assert str(parse_rate(text)) == text.strip()


@pytest.mark.parametrize(
    "text", ["", "100", "100/", "/s", "0/s", "-1/s", "1.5/s", "1e3/s", "100/sec", "10/s/s", "9" * 12]
)
def test_anything_else_is_no_rate(text):
    with pytest.raises(ValueError, match="100/s"):
        parse_rate(text)
