"""The client's key: sent, kept out of errors, and out of the way of a proxy's credentials."""

import httpx
import pytest

from app.client import AsyncClient, Client, InvalidInput, Refused

KEY = "vae_secret-of-the-caller"


def sent(**options) -> httpx.Headers:
    """The headers of a call."""
    met = []

    def handler(request):
        met.append(request.headers)
        return httpx.Response(200, json={"version": 1})

    url = options.pop("url", "http://service")
    with Client(url, transport=httpx.MockTransport(handler), **options) as client:
        client.model()
    return met[0]


def test_the_key_is_a_bearer_token():
    assert sent(api_key=KEY)["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in sent()


def test_the_key_of_the_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("VAE_API_KEY", f"{KEY}\n")
    assert sent()["authorization"] == f"Bearer {KEY}"
    assert sent(api_key="another")["authorization"] == "Bearer another"
    assert "authorization" not in sent(api_key="")


def test_where_a_proxy_has_authorization_the_key_has_a_header_of_its_own():
    headers = sent(api_key=KEY, headers={"Authorization": "Basic eDp5"})
    assert (headers["authorization"], headers["x-api-key"]) == ("Basic eDp5", KEY)
    headers = sent(api_key=KEY, url="http://user:word@service")
    assert headers["authorization"].startswith("Basic ")
    assert headers["x-api-key"] == KEY


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", "\x00"])
def test_what_cannot_be_a_key_is_refused_without_being_repeated(kind, key):
    with pytest.raises(InvalidInput) as refused:
        kind("http://service", api_key=key)
    assert key not in str(refused.value)


def test_a_key_is_not_repeated_when_it_is_refused():
    document = {"type": "urn:x", "title": "Unauthorized", "detail": "none of ours", "code": "unauthorized"}

    def handler(request):
        return httpx.Response(401, json=document, headers={"content-type": "application/problem+json"})

    with Client("http://service", api_key=KEY, transport=httpx.MockTransport(handler)) as client:
        with pytest.raises(Refused) as refused:
            client.model()
        assert KEY not in f"{refused.value!r}{vars(refused.value)}{client!r}"
    assert refused.value.code == "unauthorized"
