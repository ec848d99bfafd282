from typing import Any

from app.imaging.png import encode_png
from app.settings.values import Rate
from app.settings.values import parse_origins as origins_of
from tests.app.middleware.test_auth import BEARER, KEY, Z, serving

ORIGIN = {"origin": "https://example.org"}


async def test_pages_of_other_origins_are_not_answered_for_by_default(client):
    response = await client.get("/model", headers=ORIGIN)
    assert not [name for name in response.headers if name.startswith("access-control")]
    preflight = await client.options("/generate", headers={**ORIGIN, "access-control-request-method": "POST"})
    assert preflight.status_code == 405


async def test_pages_of_the_origins_that_are_named_may_call(settings, engine, digit):
    changes = {"api_keys": (KEY,), "cors_origins": origins_of("https://example.org"), "rate_limit": Rate(9, "h")}
    async with serving(settings, engine, **changes) as client:
        asked = {
            **ORIGIN,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        preflight = await client.options("/generate", headers=asked)  # browsers send no key with it
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://example.org"
        assert (await client.options("/generate", headers=asked | {"origin": "https://evil.org"})).status_code == 400
        png = {"content-type": "image/png"}
        cases: list[tuple[str, str, dict[str, Any], int]] = [
            ("POST", "/generate", {"json": Z}, 200),
            ("POST", "/encode", {"content": encode_png(digit), "headers": png}, 200),
            ("GET", "/manifold.png?n=2", {}, 200),
            ("GET", "/manifold.png?n=2", {}, 200),
            ("POST", "/generate?scale=2", {"json": Z}, 200),
            ("GET", "/nowhere", {}, 404),
        ]
        for method, path, request, status in cases:
            headers = {**request.pop("headers", {}), **ORIGIN, **BEARER}
            response = await client.request(method, path, headers=headers, **request)
            assert response.status_code == status
            assert response.headers["access-control-allow-origin"] == "https://example.org"
            assert "Retry-After" in response.headers["access-control-expose-headers"]
        refused = await client.get("/model", headers=ORIGIN)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://example.org")
        other = await client.get("/model", headers={"origin": "https://evil.org", **BEARER})
        assert "access-control-allow-origin" not in other.headers
        assert "access-control-allow-credentials" not in refused.headers


async def test_a_manifold_kept_does_not_keep_the_origin_that_asked_first(settings, engine):
    async with serving(settings, engine, cors_origins=("https://a.org", "https://b.org")) as client:
        for origin in ("https://a.org", "https://b.org", "https://a.org"):
            response = await client.get("/manifold.png?n=2", headers={"origin": origin})
            assert response.headers.get_list("access-control-allow-origin") == [origin]
        plain = await client.get("/manifold.png?n=2")
        assert "access-control-allow-origin" not in plain.headers
