"""Bad input over HTTP: each a 4xx problem with a sentence that helps, and the service unharmed."""

import json

import numpy as np
import pytest
from PIL import Image

from app.api.formats import npy
from app.imaging.png import encode_png
from tests.support.pictures import bomb, file_of

PNG = {"content-type": "image/png"}
JSON = {"content-type": "application/json"}
NPY = {"content-type": "application/x-npy"}

digit = np.pad(np.full((20, 20), 200, np.uint8), 4)
whole = file_of(np.random.default_rng(0).integers(0, 255, (100, 100), np.uint8))
animation = file_of(Image.new("L", (28, 28)), save_all=True, append_images=[Image.new("L", (28, 28), 9)])

BAD_IMAGES = {
    "empty body": (b"", PNG, 400, "empty-body", "empty"),
    "text named png": (b"seven", PNG, 422, "invalid-image", "PNG, JPEG, WebP or BMP"),
    "truncated png": (whole[: len(whole) // 2], PNG, 422, "invalid-image", "truncated or damaged"),
    "picture bomb": (bomb(20_000), PNG, 413, "image-too-large", "pixels"),
    "animation": (animation, PNG, 422, "invalid-image", "one frame"),
    "blank sheet": (file_of(Image.new("L", (300, 400), 255)), PNG, 422, "invalid-image", "one even tone"),
    "unknown type": (whole, {"content-type": "text/plain"}, 415, "unsupported-media-type", "image/png"),
    "form type of curl": (whole, {"content-type": "application/x-www-form-urlencoded"}, 415, None, "image/png"),
    "no type": (whole, {}, 415, "unsupported-media-type", "missing"),
    "too large": (b"x" * (2**20 + 1), PNG, 413, "body-too-large", "1,048,576"),
    "broken json": (b'{"images": [', JSON, 400, "malformed-body", "not JSON"),
    "no images": (b"{}", JSON, 422, "invalid-parameter", "images"),
    "empty list": (b'{"images": []}', JSON, 422, "invalid-parameter", "images"),
    "unknown field": (b'{"images": ["x"], "image": 1}', JSON, 422, "invalid-parameter", "image"),
    "not base64": (b'{"images": ["***"]}', JSON, 422, "invalid-image", "base64"),
    "ragged rows": (b'{"images": [[[1, 2], [3]]]}', JSON, 422, "invalid-image", "same length"),
    "rows of the wrong size": (b'{"images": [[[1, 2], [3, 4]]]}', JSON, 422, "invalid-image", "28"),
    "grey level 256": (json.dumps({"images": [(digit + 56.5).tolist()]}).encode(), JSON, 422, None, "255"),
    "npy of objects": (npy.dumps(np.zeros(1)).replace(b"<f8", b"|O "), NPY, 400, "malformed-body", "npy"),
    "npy of another size": (npy.dumps(np.zeros((2, 9, 9), np.uint8)), NPY, 422, "invalid-image", "28"),
    "npy of integers": (npy.dumps(np.zeros((1, 28, 28), np.int32)), NPY, 422, "invalid-image", "uint8"),
    "npy out of range": (npy.dumps(np.full((1, 28, 28), 2.0)), NPY, 422, "invalid-image", "0 .. 1"),
    "npy of nan": (npy.dumps(np.full((1, 28, 28), np.nan)), NPY, 422, "invalid-image", "0 .. 1"),
    "empty npy": (npy.dumps(np.zeros((0, 28, 28), np.uint8)), NPY, 422, "invalid-image", "at least 1"),
    "broken form": (b"junk", {"content-type": "multipart/form-data; boundary=x"}, 400, None, ""),
    "form without boundary": (b"junk", {"content-type": "multipart/form-data"}, 400, "malformed-body", "multipart"),
}

BAD_LATENTS = {
    "empty body": (b"", JSON, 400, "empty-body", "empty"),
    "wrong length": (b'{"z": [1]}', JSON, 422, "invalid-latent", "2"),
    "wrong length in a list": (b'{"z": [[1, 2], [1, 2, 3]]}', JSON, 422, "invalid-latent", "z[1]"),
    "NaN": (b'{"z": [0, NaN]}', JSON, 422, "invalid-latent", "finite"),
    "infinity": (b'{"z": [0, -Infinity]}', JSON, 422, "invalid-latent", "finite"),
    "text": (b'{"z": [0, "nan"]}', JSON, 422, "invalid-latent", "number"),
    "1e400": (b'{"z": [0, 1e400]}', JSON, 422, "invalid-latent", "finite"),
    "1e39, finite but not as float32": (b'{"z": [0, 1e39]}', JSON, 422, "invalid-latent", "1000000"),
    "true": (b'{"z": [0, true]}', JSON, 422, "invalid-latent", "number"),
    "too many": (json.dumps({"z": [[0, 0]] * 5000}).encode(), JSON, 422, "invalid-latent", "4096"),
    "a million": (b'{"z": [' + b"[0,0]," * 999_999 + b"[0,0]]}", JSON, 413, "body-too-large", "bytes"),
    "none at all": (b'{"z": []}', JSON, 422, "invalid-latent", "2"),
    "neither": (b"{}", JSON, 422, "invalid-parameter", "exactly one"),
    "both": (b'{"z": [0, 0], "sample": 1}', JSON, 422, "invalid-parameter", "exactly one"),
    "no samples": (b'{"sample": 0}', JSON, 422, "invalid-parameter", "sample"),
    "too many samples": (b'{"sample": 5000}', JSON, 422, "invalid-parameter", "4096"),
    "half a sample": (b'{"sample": 1.5}', JSON, 422, "invalid-parameter", "sample"),
    "seed without sample": (b'{"z": [0, 0], "seed": 1}', JSON, 422, "invalid-parameter", "seed"),
    "a list": (b"[0, 0]", JSON, 422, "invalid-parameter", ""),
    "not utf-8": (b'{"z": "\xff"}', JSON, 400, "malformed-body", "not JSON"),
    "deep nesting": (b"[" * 100_000, JSON, 400, "malformed-body", "not JSON"),
    "picture": (whole, PNG, 415, "unsupported-media-type", "application/json"),
    "npy of another width": (npy.dumps(np.zeros((3, 3))), NPY, 422, "invalid-latent", "(n, 2)"),
    "npy of nan": (npy.dumps(np.full((1, 2), np.nan)), NPY, 422, "invalid-latent", "finite"),
    "npy of text": (npy.dumps(np.array([["a", "b"]])), NPY, 422, "invalid-latent", "numbers"),
    "empty npy": (npy.dumps(np.zeros((0, 2))), NPY, 422, "invalid-latent", ""),
}  # fmt: skip

CASES = [
    pytest.param(route, *case, id=f"{route} {name}")
    for route, cases in (("/encode", BAD_IMAGES), ("/reconstruct", BAD_IMAGES), ("/generate", BAD_LATENTS))
    for name, case in cases.items()
]


def check_problem(response, status, code, words):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["status"] == status
    assert problem["type"].endswith(problem["code"])
    assert code in (None, problem["code"])
    assert words in problem["detail"]
    assert len(problem["detail"]) > 15


@pytest.mark.parametrize(("route", "body", "headers", "status", "code", "words"), CASES)
async def test_bad_input_is_a_problem_and_the_service_goes_on(client, route, body, headers, status, code, words):
    check_problem(await client.post(route, content=body, headers=headers), status, code, words)
    good = await client.post("/encode", content=encode_png(digit), headers=PNG)
    assert good.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/encode", 405, "method-not-allowed"),
        ("DELETE", "/manifold.png", 405, "method-not-allowed"),
        ("POST", "/encode?turn=1", 422, "invalid-parameter"),
        ("POST", "/encode?invert=maybe", 422, "invalid-parameter"),
        ("POST", "/generate?columns=0", 422, "invalid-parameter"),
    ],
)
async def test_a_bad_address_is_a_problem(client, method, path, status, code):
    body = {"content": file_of(digit), "headers": PNG} if method == "POST" else {}
    response = await client.request(method, path, **body)
    check_problem(response, status, code, "")
    if status == 405:
        assert response.headers["allow"]


@pytest.mark.parametrize("path", ["/v1", "/v1/nowhere", "/v2/nowhere", "/v2/models/encoder/nowhere"])
async def test_under_the_serving_protocols_an_error_has_their_form(client, path):
    response = await client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (404, "application/json")
    assert list(response.json()) == ["error"]
    check_problem(await client.get(path.replace("/v", "/x")), 404, "not-found", "Nothing is served")


async def test_sheets_have_bounds(client):
    for query, words in (("scale=17", "at most 16"), ("columns=3", "2 digits")):
        response = await client.post(f"/generate?{query}", json={"z": [[0, 0], [1, 1]]})
        check_problem(response, 422, "invalid-parameter", words)
    response = await client.post("/generate?scale=16", json={"sample": 4000})
    check_problem(response, 422, "invalid-parameter", "16,000,000")


async def test_a_fault_of_the_service_says_nothing_about_its_inside(client, engine, caplog):
    response = await client.post("/generate", json={"z": [666, 0]})
    check_problem(response, 500, "engine-error", "log")
    assert "RuntimeError" not in response.text
    assert "RuntimeError" in caplog.text


async def test_an_unforeseen_fault_is_a_problem_too(client, monkeypatch):
    monkeypatch.setattr(client._transport.app.service, "generate", None)
    response = await client.post("/generate", json={"z": [0, 0]})
    check_problem(response, 500, "internal-error", "log")
    assert "Traceback" not in response.text


async def test_an_overloaded_service_says_when_to_come_back(client, engine):
    client._transport.app.service.batcher.max_queue = 0
    response = await client.post("/generate", json={"z": [0, 0]})
    check_problem(response, 503, "overloaded", "again")
    assert int(response.headers["retry-after"]) >= 1
