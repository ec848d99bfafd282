import asyncio
import gzip
import json
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.api.formats import npy
from app.api.requests import Request, content_type, disconnect_check, query, read_decoded_body
from app.api.schemas import SheetQuery
from app.errors import BodyTooLarge, EmptyBody, InvalidParameter, MalformedBody, UnsupportedMediaType

NPY = {"content-type": "application/x-npy"}

numbers = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
bodies = st.recursive(
    numbers,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["z", "sample", "seed", "images", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(document=bodies, route=st.sampled_from(["/encode", "/generate", "/reconstruct"]))
async def test_any_json_is_answered_or_refused_with_a_problem(client, document, route):
    body = json.dumps(document)
    response = await client.post(route, content=body, headers={"content-type": "application/json"})
    assert response.status_code in (200, 400, 413, 422)
    if response.status_code != 200:
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8"])
@pytest.mark.parametrize("route", ["/encode", "/generate"])
async def test_any_bits_that_are_no_number_are_refused(client, kind, route):
    # A signalling NaN, of which NumPy warns when it is converted.
    bits = {"<f2": 0x7D00, "<f4": 0x7FA00000, "<f8": 0x7FF4000000000000}[kind]
    shape = (1, 28, 28) if route == "/encode" else (1, 2)
    array = np.full(shape, bits, f"<u{kind[-1]}").view(kind)
    response = await client.post(route, content=npy.dumps(array), headers=NPY)
    assert response.status_code == 422, response.text


def asked(body: bytes = b"", address: str = "", **headers: str) -> Request:
    """A request that has come whole."""
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        raise AssertionError(message)

    return Request({"type": "http", "headers": fields, "query_string": address.encode()}, receive, send)


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), (" GZip ", gzip.compress)]
)
@given(plain=st.binary(min_size=1, max_size=300))
async def test_a_packed_body_is_unpacked(encoding, pack, plain):
    assert await read_decoded_body(asked(pack(plain), content_encoding=encoding), 300) == plain
    assert await read_decoded_body(asked(plain), 300) == plain


@pytest.mark.parametrize(
    ("body", "encoding", "error"),
    [
        (b"plain", "gzip", MalformedBody),
        (gzip.compress(b"whole", mtime=0)[:-1], "gzip", MalformedBody),
        (gzip.compress(b"whole", mtime=0) + b"more", "gzip", MalformedBody),
        (b"x", "br", MalformedBody),
        (gzip.compress(b"", mtime=0), "gzip", EmptyBody),
        (b"", "gzip", EmptyBody),
        (gzip.compress(bytes(10**6), mtime=0), "gzip", BodyTooLarge),
        (zlib.compress(bytes(301)), "deflate", BodyTooLarge),
    ],
)
async def test_a_body_that_does_not_unpack_or_unpacks_to_too_much_is_refused(body, encoding, error):
    with pytest.raises(error):
        await read_decoded_body(asked(body, content_encoding=encoding), 300)


def test_a_query_is_read_as_its_model_and_an_unknown_name_is_told_with_the_known_ones():
    assert query(asked(address="columns=2&scale=3"), SheetQuery) == SheetQuery(columns=2, scale=3)
    with pytest.raises(InvalidParameter, match=r"turn.*Parameters: .*columns"):
        query(asked(address="turn=1"), SheetQuery)


@pytest.mark.parametrize(
    ("header", "kind"),
    [("Image/PNG", "image/png"), ("application/json; charset=utf-8", "application/json")],
)
def test_a_media_type_is_told_without_its_parameters(header, kind):
    assert content_type(asked(content_type=header), ("image/png", "application/json")) == kind


@pytest.mark.parametrize(
    ("headers", "told"),
    [({}, "is missing"), ({"content_type": " ;x"}, "is missing"), ({"content_type": "text/html"}, "'text/html'")],
)
def test_a_media_type_that_is_not_read_is_refused_with_those_that_are(headers, told):
    with pytest.raises(UnsupportedMediaType, match=f"{told}.*image/png, application/json"):
        content_type(asked(**headers), ("image/png", "application/json"))


async def test_a_caller_has_hung_up_once_the_server_says_so_and_asking_waits_for_nothing():
    gone = asyncio.Event()

    async def receive():
        await gone.wait()
        return {"type": "http.disconnect"}

    is_disconnected = disconnect_check(receive)
    assert [is_disconnected(), is_disconnected()] == [False, False]
    gone.set()
    assert is_disconnected()
