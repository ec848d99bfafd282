"""Who may call, and how often, through the whole application."""

import hmac
import logging
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.explorer.routes import assets
from app.errors import Unauthorized
from app.imaging.png import encode_png
from app.main import create_app
from app.middleware.auth import MAX_KEY_BYTES, ApiKeyAuth, Keyring, credentials, is_open
from app.settings import Settings
from app.settings.api_keys import new_key
from app.settings.values import Rate

SECRET, KEY = new_key("ci")
OTHER, OTHER_KEY = new_key("web")
BEARER = {"authorization": f"Bearer {SECRET}"}
Z = {"z": [0.5, -0.5]}
PROBES = ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2/models/encoder/ready",
          "/v2/models/generator/versions/1/ready"]  # fmt: skip
CLOSED = [
    ("POST", "/encode"), ("POST", "/generate"), ("POST", "/generate?scale=2"), ("POST", "/reconstruct"),
    ("GET", "/manifold.png"), ("HEAD", "/manifold.png"), ("GET", "/latent.png"), ("GET", "/model"), ("GET", "/metrics"),
    ("GET", "/explorer/points.json"), ("GET", "/nowhere"), ("OPTIONS", "/generate"), ("GET", "/livez/"),
    ("GET", "/explorer/../model"), ("POST", "/v2/repository/index"), ("GET", "/v2"),
    ("GET", "/v2/models/encoder"), ("POST", "/v2/models/generator/infer"), ("GET", "/v1/models/encoder"),
    ("POST", "/v1/models/generator:predict"),
]  # fmt: skip


class Caller(httpx.AsyncClient):
    app: Any


@asynccontextmanager
async def serving(settings, engine, **changes):
    app = create_app(settings.model_copy(update=changes), lambda stored, settings: engine)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.7", 1))
    async with (
        app.router.lifespan_context(app),
        Caller(transport=transport, base_url="http://service") as client,
    ):
        client.app = app
        yield client


@pytest.fixture
async def locked(settings, engine):
    """The service with two keys."""
    async with serving(settings, engine, api_keys=(KEY, OTHER_KEY)) as client:
        yield client


def test_where_nothing_is_asked_for_there_is_no_such_layer(settings, engine):
    app = create_app(settings, lambda stored, settings: engine)
    assert ApiKeyAuth not in [layer.cls for layer in app.layers]


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_without_a_key_everything_but_probes_and_pages_is_closed(locked, method, path):
    response = await locked.request(method, path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="digit-vae"'
    if method != "HEAD":
        protocol = path.startswith(("/v1", "/v2"))
        assert response.headers["content-type"] == f"application/{'json' if protocol else 'problem+json'}"
        told = response.json()
        assert "Authorization: Bearer" in (told["error"] if protocol else told["detail"])
        assert protocol or (told["code"], told["status"]) == ("unauthorized", 401)


@pytest.mark.parametrize("path", [*PROBES, "/docs", "/openapi.json", "/", *(f"/explorer/{name}" for name in assets())])
async def test_probes_and_pages_are_open(locked, path):
    assert (await locked.get(path)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        BEARER,
        {"authorization": f"bearer {OTHER}"},
        {"x-api-key": SECRET},
        {"authorization": "Basic x", "x-api-key": OTHER},
    ],
)
async def test_with_any_of_the_keys_all_is_as_without_keys(locked, client, digit, headers):
    png = {"content-type": "image/png"}
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/generate", {"json": Z}),
        ("POST", "/generate?scale=2", {"json": Z}),
        ("POST", "/generate", {"json": {"z": [1]}}),
        ("POST", "/encode", {"content": encode_png(digit), "headers": png}),
        ("GET", "/model", {}),
        ("GET", "/nowhere", {}),
        ("POST", "/v1/models/generator:predict", {"json": {"instances": [[0, 0]]}}),
    ]
    for method, path, request in cases:
        named = {**request.get("headers", {}), "x-request-id": "the same"}
        free = await client.request(method, path, **{**request, "headers": named})
        keyed = await locked.request(method, path, **{**request, "headers": {**named, **headers}})
        assert (keyed.status_code, keyed.content, {**keyed.headers}) == (
            free.status_code, free.content, {**free.headers})  # fmt: skip


async def test_a_wrong_key_is_told_to_be_wrong_and_not_repeated(locked, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = "vae_nearly-the-right-one"
    response = await locked.post("/generate", json=Z, headers={"authorization": f"Bearer {wrong}"})
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert wrong not in f"{response.text}{response.headers}{caplog.text}"


async def test_a_refusal_names_its_request(locked):
    response = await locked.post("/generate", json=Z, headers={"x-request-id": "mine"})
    assert response.status_code == 401
    assert response.headers["x-request-id"] == response.json()["request_id"] == "mine"


async def test_no_key_appears_in_the_log(settings, engine, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    async with serving(settings, engine, api_keys=(KEY,)) as client:

        async def fail(*_):
            raise RuntimeError("broken")

        monkeypatch.setattr(client.app.service, "generate", fail)
        assert (await client.post("/generate", json=Z, headers=BEARER)).status_code == 500
    assert "keys: ci;" in caplog.text
    assert SECRET not in caplog.text
    assert KEY.digest.hex() not in caplog.text


async def test_a_refused_body_is_not_read_and_takes_no_place(settings, engine):
    async with serving(settings, engine, api_keys=(KEY,), max_requests=1) as client:
        sent: list[Any] = []

        async def receive():
            raise AssertionError("the body was asked for")

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/generate", "query_string": b"", "headers": []}
        await client.app(scope, receive, send)
        assert [message.get("status") for message in sent] == [401, None]
        text = (await client.get("/metrics", headers=BEARER)).text
        assert 'digit_vae_requests_total{route="/generate",status="401"} 1' in text


async def test_keys_of_list_and_file_are_added_and_one_name_may_have_two(settings, engine, tmp_path):
    old, new = (new_key("ci") for _ in range(2))
    (tmp_path / "keys").write_text(f"# rotation\n{new[1]}\n")
    chosen = Settings(
        model_store=settings.model_store, **{"api_keys": f"{old[1]}, {KEY}", "api_keys_file": tmp_path / "keys"}
    )
    async with serving(chosen, engine) as client:
        for secret, status in ((old[0], 200), (new[0], 200), (SECRET, 200), (OTHER, 401)):
            assert (await client.get("/model", headers={"x-api-key": secret})).status_code == status


@pytest.mark.parametrize(("metrics", "without", "keyed"), [("key", 401, 200), ("open", 200, 200), ("off", 401, 404)])
async def test_metrics_are_for_who_may_call_for_all_or_for_nobody(settings, engine, metrics, without, keyed):
    async with serving(settings, engine, api_keys=(KEY,), metrics=metrics) as client:
        assert (await client.get("/metrics")).status_code == without
        assert (await client.get("/metrics", headers=BEARER)).status_code == keyed
    async with serving(settings, engine, metrics=metrics) as client:
        assert (await client.get("/metrics")).status_code == (404 if metrics == "off" else 200)


async def test_documents_and_explorer_can_be_left_out(settings, engine):
    async with serving(settings, engine, docs=False, explorer=False) as client:
        for path in ("/docs", "/redoc", "/openapi.json", "/", "/explorer/explorer.js", "/explorer/points.json"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/model")).status_code == 200
    async with serving(settings, engine, docs=False, explorer=False, api_keys=(KEY,)) as client:
        assert (await client.get("/docs")).status_code == 401  # closed like whatever is not there


async def test_the_openapi_document_says_who_may_call(settings, engine, client):
    free = (await client.get("/openapi.json")).json()
    assert "securitySchemes" not in free["components"]
    async with serving(settings, engine, api_keys=(KEY,), rate_limit=Rate(100, "s")) as locked:
        document = (await locked.get("/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    assert {(each["type"], each.get("scheme"), each.get("name")) for each in schemes.values()} == {
        ("http", "bearer", None), ("apiKey", None, "X-API-Key")}  # fmt: skip
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            if is_open(path):
                assert operation == free["paths"][path][verb]
            else:
                assert operation["security"] == [{name: []} for name in schemes]
                assert {"401", "429"} <= set(operation["responses"])
                assert "429" not in free["paths"][path][verb]["responses"]
    refusal = document["paths"]["/v2/models/{name}/infer"]["post"]["responses"]["401"]["content"]
    assert refusal == {"application/json": {"schema": {"$ref": "#/components/schemas/ProtocolError"}}}


async def test_beyond_the_rate_a_caller_is_told_when_to_come_back(settings, engine):
    async with serving(settings, engine, rate_limit=Rate(60, "min"), rate_burst=2) as client:
        statuses = [(await client.post("/generate", json=Z)).status_code for _ in range(2)]
        refused = await client.post("/generate", json=Z)
        assert [*statuses, refused.status_code] == [200, 200, 429]
        assert refused.json()["code"] == "rate-limited"
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["retry-after"] == "1"
        protocol = await client.post("/v1/models/generator:predict", json={"instances": [[0, 0]]})
        assert (protocol.status_code, set(protocol.json())) == (429, {"error"})
        assert protocol.headers["retry-after"] == "1"
        for path in (*PROBES, "/", "/docs"):
            assert (await client.get(path)).status_code == 200


async def test_the_holder_of_a_key_is_not_held_up_by_others_at_the_same_address(settings, engine):
    async with serving(settings, engine, api_keys=(KEY, OTHER_KEY), rate_limit=Rate(2, "h")) as client:

        async def statuses(headers: dict[str, str]) -> list[int]:
            return [(await client.get("/model", headers=headers)).status_code for _ in range(3)]

        assert await statuses({"x-api-key": "guess"}) == [401, 401, 429]
        assert await statuses(BEARER) == [200, 200, 429]
        assert await statuses({"x-api-key": OTHER}) == [200, 200, 429]
        assert (await client.get("/livez")).status_code == 200


async def reached(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@given(
    path=st.text(st.characters(max_codepoint=255)),
    headers=st.lists(st.tuples(st.sampled_from([b"authorization", b"x-api-key", b"x"]), st.binary(max_size=600))),
    client=st.none() | st.tuples(st.text(max_size=80), st.integers(0, 65535)),
)
async def test_no_request_without_a_key_gets_in_and_none_breaks_the_gate(path, headers, client):
    gate = ApiKeyAuth(reached, [KEY], None, ["/docs"])
    sent: list[Any] = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "client": client}
    with nullcontext() if is_open(path, ["/docs"]) else pytest.raises(Unauthorized):
        await gate(scope, None, send)
    assert bool(sent) == is_open(path, ["/docs"])
    sent.clear()
    await gate({**scope, "headers": [*headers, (b"x-api-key", SECRET.encode())]}, None, send)
    assert sent[0]["status"] == 200


@pytest.mark.parametrize(
    ("headers", "offers"),
    [
        ([], []),
        ([(b"authorization", b"Bearer abc")], [b"abc"]),
        ([(b"authorization", b"bearer   abc ")], [b"abc"]),
        ([(b"authorization", b"Basic abc")], []),
        ([(b"authorization", b"Bearer")], []),
        ([(b"authorization", b"Bearer ")], []),
        ([(b"x-api-key", b" abc ")], [b"abc"]),
        ([(b"authorization", b"Basic abc"), (b"x-api-key", b"def")], [b"def"]),
        ([(b"authorization", b"Bearer abc"), (b"x-api-key", b"def")], [b"abc", b"def"]),
        ([(b"x-api-key", b"abc"), (b"x-api-key", b"def")], [b"def"]),
        ([(b"x-api-key", b"a" * 513)], []),
    ],
)
def test_a_key_comes_as_a_bearer_token_or_in_a_header_of_its_own(headers, offers):
    assert credentials(headers) == offers


@given(st.lists(st.tuples(st.sampled_from([b"authorization", b"x-api-key", b"accept"]), st.binary())))
def test_no_headers_are_too_strange_to_look_for_a_key_in(headers):
    secret, key = new_key("ci")
    offers = credentials(headers)
    assert len(offers) <= 2
    assert all(offer and len(offer) <= MAX_KEY_BYTES for offer in offers)
    assert Keyring([key]).key_name(offers) is None
    assert Keyring([key]).key_name([*offers, secret.encode()]) == "ci"


def test_the_holder_is_found_wherever_the_key_stands():
    made = [new_key(name) for name in ("a", "b", "c")]
    ring = Keyring(key for _, key in made)
    assert [ring.key_name([secret.encode()]) for secret, _ in made] == ["a", "b", "c"]
    assert ring.key_name([]) is None
    assert ring.key_name([made[0][0].encode()[:-1]]) is None
    assert ring.key_name([made[0][1].digest]) is None  # who has the hash has no key
    assert ring.key_name([made[0][1].digest.hex().encode()]) is None


def test_every_key_is_compared_to_the_end_whichever_fits(monkeypatch):
    compared = []

    def compare(known, digest):
        compared.append(known)
        return hmac_compare(known, digest)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    made = [new_key(name) for name in ("a", "b", "c")]
    ring = Keyring(key for _, key in made)
    for offer in (made[0][0].encode(), made[2][0].encode(), b"none"):
        compared.clear()
        ring.key_name([offer])
        assert compared == [key.digest for _, key in made]
