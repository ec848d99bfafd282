"""Every answer and every error document says which request it belongs to."""

import asyncio
import threading

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.main import create_app
from app.telemetry.request_id import RequestIds, current, id_of

Z = {"z": [0.5, -0.5]}
PATHS = ["/generate", "/generate?scale=2", "/manifold.png?n=2", "/livez", "/nowhere", "/v2/nowhere", "/docs"]


async def ask(client: httpx.AsyncClient, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    if path.startswith("/generate"):
        return await client.post(path, json=Z, headers=headers)
    return await client.get(path, headers=headers)


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_has_an_id_of_its_own(client, path):
    answers = [await ask(client, path) for _ in range(3)]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    assert all(len(answer.headers.get_list("x-request-id")) == 1 for answer in answers)


@pytest.mark.parametrize("path", PATHS)
async def test_the_callers_own_id_is_kept(client, path):
    answer = await ask(client, path, {"x-request-id": "order 66/a"})
    assert answer.headers["x-request-id"] == "order 66/a"


async def test_an_error_document_names_the_request_and_a_protocols_answer_has_the_header(client):
    own = {"x-request-id": 'a "quoted" \\ id'}
    problem = await client.post("/generate", json={"z": [1]}, headers=own)
    assert problem.json()["request_id"] == problem.headers["x-request-id"] == own["x-request-id"]
    protocol = await client.post("/v2/models/generator/infer", json={}, headers=own)
    assert (protocol.status_code, set(protocol.json())) == (400, {"error"})
    assert protocol.headers["x-request-id"] == own["x-request-id"]


@pytest.mark.parametrize("bound", ["max_requests", "request_timeout_s"])
async def test_refusals_that_are_written_beforehand_name_the_request_too(settings, engine, bound):
    engine.gate = threading.Event()
    changes = {"max_requests": 1} if bound == "max_requests" else {"request_timeout_s": 0.1}
    app = create_app(settings.model_copy(update=changes), lambda stored, settings: engine)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")
    async with app.router.lifespan_context(app), client:
        asked = [asyncio.create_task(ask(client, "/generate", {"x-request-id": f'"{n}"'})) for n in range(2)]
        await asyncio.sleep(0.2)
        engine.gate.set()
        answers = [await each for each in asked]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert len(refused) == (1 if bound == "max_requests" else 2)
        for answer in refused:
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
            assert int(answer.headers["content-length"]) == len(answer.content)
        assert {answer.headers["x-request-id"] for answer in answers} == {'"0"', '"1"'}


async def test_requests_under_way_together_do_not_mix_their_ids(client):
    async def one(n: int) -> bool:
        problem = await client.post("/encode", content=b"no picture", headers={"x-request-id": f"{n}"})
        return bool(problem.json()["request_id"] == f"{n}")

    assert all(await asyncio.gather(*map(one, range(20))))


def named(*values: bytes) -> bytes:
    return RequestIds().name({"type": "http", "headers": [(b"x-request-id", value) for value in values]})


@given(st.binary(max_size=140))
def test_an_id_is_kept_if_and_only_if_it_is_short_printable_ascii(value):
    sane = value.isascii() and value.decode().isprintable() and 1 <= len(value) <= 128 and value == value.strip()
    assert (named(value) == value) == sane


@pytest.mark.parametrize("value", [b"x" * 128, b"a b", b"~", b"!"])
def test_sane_ids_at_the_edge_of_what_is_taken(value):
    assert named(value) == value


def test_of_several_ids_the_first_sane_one_is_taken():
    assert named(b"", b"\xff", b"x" * 129, b"good", b"better") == b"good"


def test_made_ids_differ_between_processes_and_are_sane_themselves():
    ids = [RequestIds() for _ in range(50)]
    made = [each.name({"headers": []}) for each in ids for _ in range(50)]
    assert len(set(made)) == len(made)
    assert all(named(each) == each for each in made)


def test_the_latest_request_named_is_the_current_one_and_unnamed_ones_have_no_id():
    scope = {"headers": [(b"x-request-id", b"me")]}
    assert id_of(scope) is None
    RequestIds().name(scope)
    assert current() is scope
    assert id_of(scope) == "me"
