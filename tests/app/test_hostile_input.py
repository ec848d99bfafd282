"""Damaged and invented bodies of every kind, over HTTP: answered, or refused with a problem; never a fault."""

import base64
import json
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from app.api.formats import npy
from tests.support.fakes import connected
from tests.support.pictures import file_of

ANY = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=60
)
NOISE = np.random.default_rng(0).integers(0, 255, (30, 40), np.uint8)
PICTURES = {
    "image/png": file_of(NOISE),
    "image/jpeg": file_of(NOISE, "JPEG", progressive=True),
    "image/webp": file_of(NOISE, "WEBP"),
    "image/bmp": file_of(NOISE, "BMP"),
}
ODD = [
    file_of(Image.fromarray(NOISE).convert(mode), kind)
    for mode, kind in (("P", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("1", "BMP"), ("CMYK", "JPEG"), ("RGBA", "WEBP"))
]
ARRAYS = [npy.dumps(array) for array in (NOISE[np.newaxis, :28, :28], np.zeros((3, 2), np.float32), np.zeros((2, 2)))]
NPY = "application/x-npy"
JSON = "application/json"


@st.composite
def damaged(draw, whole: bytes) -> bytes:
    """`whole` with some of it changed, left out, repeated or cut off."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        to = at + draw(st.integers(0, 40))
        match draw(st.sampled_from(("change", "leave out", "repeat", "cut off", "fill"))):
            case "change":
                data[at:to] = draw(st.binary(max_size=40))
            case "leave out":
                del data[at:to]
            case "repeat":
                data[at:at] = data[at:to] * draw(st.integers(1, 50))
            case "fill":
                data[at : at + 4] = draw(st.sampled_from((b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff")))
            case _:
                del data[at:]
    return bytes(data)


def check(response) -> None:
    assert response.status_code in (200, 400, 413, 422), response.text
    if response.status_code != 200:
        assert response.headers["content-type"] in ("application/problem+json", "application/json")
        assert len(response.content) < 10_000


BODIES = [
    *((kind, file) for kind, file in PICTURES.items()),
    *(("image/png", file) for file in ODD),
    *((NPY, array) for array in ARRAYS),
    (JSON, json.dumps({"images": [base64.b64encode(ODD[0]).decode(), NOISE[:28, :28].tolist()]}).encode()),
    (JSON, b'{"z":[[0,1e3],[-1.5,0]]}'),
    (JSON, b'{"sample":3,"seed":18446744073709551615}'),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="../../a"\r\n\r\n%b\r\n--x--' % ODD[1],
    ),
]


@ANY
@given(
    body=st.sampled_from(BODIES).flatmap(lambda body: st.tuples(st.just(body[0]), damaged(body[1]))),
    route=st.sampled_from(("/encode", "/generate", "/reconstruct", "/generate?scale=2&columns=1", "/encode?fit=none")),
)
async def test_a_damaged_body_is_answered_or_refused(client, body, route):
    kind, data = body
    response = await client.post(route, content=data, headers={"content-type": kind})
    if response.status_code != 415:
        check(response)


SIZES = st.integers(0, 5) | st.sampled_from([28, 2**31, 2**53 - 1, 2**63, 10**400])
TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["z", "image", "", "\0"]),
        "shape": st.lists(SIZES, max_size=9),
        "datatype": st.sampled_from(["FP16", "FP32", "FP64", "UINT8", "BYTES", "INT8"]),
    },
    optional={
        "data": st.recursive(
            st.floats() | st.integers() | st.text(max_size=4) | st.none() | st.booleans(),
            lambda inner: st.lists(inner, max_size=4),
            max_leaves=12,
        ),
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": SIZES | st.floats() | st.text()}),
    },
)


@ANY
@given(
    tensors=st.lists(TENSORS, max_size=3),
    raw=st.binary(max_size=64),
    length=st.none() | st.integers(-5, 500).map(str) | st.sampled_from(["", "x", "9" * 5000, "\xb2"]),
    model=st.sampled_from(["encoder", "generator"]),
    form=st.sampled_from(["z", "image"]),
)
async def test_any_tensors_are_answered_or_refused(client, tensors, raw, length, model, form):
    head = json.dumps({"inputs": tensors}).encode()
    told = {"inference-header-content-length": str(len(head)) if length is None else length}
    infer = f"/v2/models/{model}/infer"
    check(await client.post(infer, content=head + raw, headers={k: v.encode("latin-1") for k, v in told.items()}))
    rows = [tensor.get("data") for tensor in tensors]
    for document in ({"instances": rows}, {"inputs": {form: rows}}, {"instances": [{form: row} for row in rows]}):
        check(await client.post(f"/v1/models/{model}:predict", content=json.dumps(document)))


@ANY
@given(count=st.integers(0, 2**33), raw=st.lists(st.binary(max_size=20), max_size=4), lie=st.integers(-3, 3))
async def test_any_files_as_a_tensor_are_answered_or_refused(client, count, raw, lie):
    data = b"".join(struct.pack("<I", max(0, len(file) + lie)) + file for file in raw)
    tensor = {"name": "image", "shape": [count % 5 if lie else count], "datatype": "BYTES"}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}]}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    check(await client.post("/v2/models/encoder/infer", content=head + data, headers=headers))


HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
QUERY = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=30)


@ANY
@given(accept=HEADER, kind=HEADER, encoding=HEADER, etag=HEADER, host=HEADER, query=QUERY)
@example(accept="*/*;q=x", kind="multipart/form-data; boundary=", encoding="gzip", etag='"', host="[", query="n=%ff")
@example(accept=";", kind="multipart/form-data; boundary=\xff", encoding="br", etag="W/", host="[::", query="&;=")
async def test_any_header_fields_are_answered_or_refused(client, accept, kind, encoding, etag, host, query):
    told = {"accept": accept, "content-type": kind, "content-encoding": encoding, "if-none-match": etag, "host": host}
    headers = {name: value.encode("latin-1") for name, value in told.items()}
    for method, path in (
        ("GET", "/manifold.png"),
        ("GET", "/latent.png"),
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("POST", "/encode"),
        ("POST", "/v1/models/encoder:predict"),
    ):
        request = client.build_request(method, path, headers=headers, content=b"{}" if method == "POST" else None)
        request.url = request.url.copy_with(query=query.encode())
        assert (await client.send(request)).status_code < 500


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "%2e%2e%2fmain.py", "..%5cmain.py", "a\x00b", "C:"]
)
async def test_no_path_of_a_request_reaches_the_file_system(client, name):
    quoted = name.replace("\x00", "%00")
    for path in (f"/explorer/{quoted}", f"/{quoted}", f"/v2/models/{quoted}", f"/v1/models/encoder/versions/{quoted}"):
        response = await client.get(path)
        assert response.status_code in (200, 404)  # httpx takes the dots out: 200 is another page
        assert b"root:" not in response.content
    files = [("image", (name, ODD[0], "image/png"))]
    assert (await client.post("/encode?fit=none", files=files)).status_code == 200


async def test_what_is_odd_in_files_is_not_remembered(settings, engine):
    """Pillow's warnings name the size of a picture, and Python keeps a note of each that it has printed."""
    kept = vars(Image).setdefault("__warningregistry__", {})
    kept.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as outside of tests
        async with connected(settings, engine) as client:
            for width in range(10_000, 10_003):
                answer = await client.post(
                    "/encode", content=empty_png(width, 10_000), headers={"content-type": "image/png"}
                )
                assert answer.status_code == 413
    assert not [note for note in kept if note != "version"]


def empty_png(width: int, height: int) -> bytes:
    """A PNG that promises more than it has."""
    whole = file_of(Image.new("L", (9, 9)))
    header = b"IHDR" + struct.pack(">II", width, height) + whole[24:29]
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]
