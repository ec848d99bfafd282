"""TensorFlow Serving's REST API: rows and columns, files as b64, and {"error"} for whatever is wrong."""

import base64
import json

import numpy as np
import pytest

from tests.app.api.protocols.test_open_inference import check_error
from tests.support.fakes import paint
from tests.support.pictures import bomb, file_of, on_paper

ENCODER = "/v1/models/encoder"
GENERATOR = "/v1/models/generator"


def b64(file):
    return {"b64": base64.b64encode(file).decode()}


async def test_a_model_says_its_state_and_its_signature(client):
    state = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in (ENCODER, GENERATOR, f"{ENCODER}/versions/1", f"{GENERATOR}/versions/1"):
        assert (await client.get(path)).json() == {"model_version_status": [state]}
    for path in (f"{ENCODER}/metadata", f"{ENCODER}/versions/1/metadata"):
        found = (await client.get(path)).json()
        assert found["model_spec"] == {"name": "encoder", "signature_name": "", "version": "1"}
        signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert set(signature["inputs"]) == {"image"}
        assert set(signature["outputs"]) == {"z_mean", "z_log_var"}
        assert signature["method_name"] == "tensorflow/serving/predict"
        assert signature["inputs"]["image"]["dtype"] == "DT_FLOAT"
        assert [dim["size"] for dim in signature["inputs"]["image"]["tensor_shape"]["dim"]] == ["-1", "28", "28"]
    found = (await client.get(f"{GENERATOR}/metadata")).json()
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert [dim["size"] for dim in signature["inputs"]["z"]["tensor_shape"]["dim"]] == ["-1", "2"]
    assert set(signature["outputs"]) == {"image"}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("kind", ["pixels", "files"])
@pytest.mark.parametrize("path", [ENCODER, f"{ENCODER}/versions/1"])
async def test_every_form_of_an_image_gives_the_z_of_encode(client, digit, named, kind, path):
    batch = [digit, digit[:, ::-1]] if kind == "pixels" else [digit, on_paper(digit)]
    files = [file_of(each) for each in batch]
    expected = (await client.post("/encode", files=[("image", ("x", file)) for file in files])).json()
    rows = [(each / 255).tolist() for each in batch] if kind == "pixels" else [b64(file) for file in files]
    response = await client.post(
        f"{path}:predict", json={"instances": [{"image": row} for row in rows] if named else rows}
    )
    assert response.status_code == 200, response.text
    assert response.headers["x-model-version"] == "1"
    predictions = response.json()["predictions"]
    outputs = (await client.post(f"{path}:predict", json={"inputs": {"image": rows} if named else rows})).json()[
        "outputs"
    ]
    for name in ("z_mean", "z_log_var"):
        assert np.abs(np.subtract([row[name] for row in predictions], expected[name])).max() < 1e-6
        assert np.abs(np.subtract(outputs[name], expected[name])).max() < 1e-6
    assert set(predictions[0]) == set(outputs) == {"z_mean", "z_log_var"}


@pytest.mark.parametrize("inputs", [b64, lambda file: {"image": b64(file)}])
async def test_one_file_may_stand_alone(client, digit, inputs):
    answer = await client.post(f"{ENCODER}:predict", json={"inputs": inputs(file_of(digit))})
    assert np.shape(answer.json()["outputs"]["z_mean"]) == (1, 2)


@pytest.mark.parametrize("signature", [{}, {"signature_name": "serving_default"}, {"signature_name": ""}])
async def test_the_name_of_the_only_output_is_left_out(client, signature):
    z = [[0.5, -0.25], [1, 2]]
    expected = paint(np.array(z))
    for path, form, rows, answered in (
        (GENERATOR, "instances", z, "predictions"),
        (GENERATOR, "instances", [{"z": row} for row in z], "predictions"),
        (GENERATOR, "inputs", z, "outputs"),
        (f"{GENERATOR}/versions/1", "inputs", {"z": z}, "outputs"),
    ):
        answer = await client.post(f"{path}:predict", json={form: rows, **signature})
        assert np.array_equal(np.array(answer.json()[answered], np.float32), expected)


async def test_the_content_type_of_curl_is_no_hindrance(client):
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await client.post(f"{GENERATOR}:predict", content=b'{"instances": [[0, 0]]}', headers=headers)
    assert answer.status_code == 200


PIXELS = [[[0.5] * 28] * 28]
BAD = {
    "no body": (GENERATOR, b"", "empty"),
    "no json": (GENERATOR, b"z=0", "not a prediction request"),
    "half of it": (GENERATOR, b'{"instances": [', "not a prediction request"),
    "a list": (GENERATOR, [[0, 0]], "not a prediction request"),
    "deep nesting": (GENERATOR, b'{"instances": ' + b"[" * 100_000, "not a prediction request"),
    "deeply nested instances": (GENERATOR, b'{"instances": ' + b"[" * 150 + b"]" * 150 + b"}", "8 deep"),
    "neither": (GENERATOR, {}, "exactly one"),
    "both": (GENERATOR, {"instances": [[0, 0]], "inputs": [[0, 0]]}, "exactly one"),
    "an unknown member": (GENERATOR, {"instances": [[0, 0]], "z": 1}, "z"),
    "another signature": (GENERATOR, {"instances": [[0, 0]], "signature_name": "classify"}, "serving_default"),
    "a signature that is a number": (GENERATOR, {"instances": [[0, 0]], "signature_name": 1}, "signature_name"),
    "no rows": (GENERATOR, {"instances": []}, "at least one"),
    "no columns": (GENERATOR, {"inputs": []}, "at least one"),
    "no inputs": (GENERATOR, {"inputs": {}}, "'z'"),
    "instances that are an object": (GENERATOR, {"instances": {"z": [0, 0]}}, "instances"),
    "inputs that are a number": (GENERATOR, {"inputs": 1}, "inputs"),
    "a column that is a number": (GENERATOR, {"inputs": {"z": 1}}, "list"),
    "another name": (GENERATOR, {"instances": [{"x": [0, 0]}]}, "'z'"),
    "one name too many": (GENERATOR, {"inputs": {"z": [[0, 0]], "x": 1}}, "'z'"),
    "another width": (GENERATOR, {"instances": [[0, 0, 0]]}, "[n, 2]"),
    "another rank": (GENERATOR, {"instances": [0, 0]}, "[n, 2]"),
    "ragged rows": (GENERATOR, {"instances": [[0, 0], [0]]}, "same length"),
    "rows and objects": (GENERATOR, {"instances": [[0, 0], {"z": 1}]}, "same length"),
    "empty rows": (GENERATOR, {"instances": [[], []]}, "[n, 2]"),
    "text": (GENERATOR, {"instances": [[0, "0"]]}, "not a number"),
    "true": (GENERATOR, {"instances": [[0, True]]}, "not a number"),
    "null": (GENERATOR, {"instances": [None]}, "not a number"),
    "nan": (GENERATOR, b'{"instances": [[0, NaN]]}', "finite"),
    "1e39": (GENERATOR, {"instances": [[0, 1e39]]}, "million"),
    "too many rows": (GENERATOR, {"instances": [[0, 0]] * 5000}, "4096"),
    "a file for z": (GENERATOR, {"instances": [{"b64": "AA=="}]}, "numbers"),
    "levels": (ENCODER, {"instances": [[[128] * 28] * 28]}, "0 .. 1"),
    "an image of another size": (ENCODER, {"instances": [[[0.5] * 14] * 56]}, "[n, 28, 28]"),
    "an image without its batch": (ENCODER, {"inputs": PIXELS[0]}, "[n, 28, 28]"),
    "files among rows": (ENCODER, {"instances": [*PIXELS, {"b64": "AA=="}]}, "every row"),
    "a file that is a number": (ENCODER, {"instances": [{"b64": 7}]}, "every row"),
    "a file that is not base64": (ENCODER, {"instances": [{"b64": "***"}]}, "base64"),
    "a file that is no picture": (ENCODER, {"instances": [b64(b"seven")]}, "PNG, JPEG"),
    "a picture bomb": (ENCODER, {"instances": [b64(bomb())]}, "pixels"),
    "too many files": (ENCODER, {"instances": [{"b64": "AA=="}] * 257}, "256"),
    "b64 and more": (ENCODER, {"instances": [{"b64": "AA==", "x": 1}]}, "'image'"),
}


@pytest.mark.parametrize(("model", "body", "words"), BAD.values(), ids=BAD)
async def test_a_bad_request_is_a_400_in_the_apis_form(client, model, body, words):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    check_error(await client.post(f"{model}:predict", content=content), 400, words)
    assert (await client.post(f"{GENERATOR}:predict", json={"instances": [[0, 0]]})).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/models/decoder", 404, "encoder and generator"),
        ("GET", "/v1/models/decoder/metadata", 404, "encoder"),
        ("POST", "/v1/models/decoder:predict", 404, "encoder"),
        ("GET", "/v1/models/encoder/versions/2", 404, "version 1"),
        ("POST", "/v1/models/encoder/versions/2:predict", 404, "version 1"),
        ("GET", "/v1/models/encoder/versions/newest/metadata", 404, "version 1"),
        ("GET", "/v1/models", 404, "Nothing is served"),
        ("GET", "/v1", 404, "Nothing is served"),
        ("GET", "/v1/models/encoder:predict", 405, "use POST"),
        ("GET", "/v1/models/encoder/versions/1:predict", 405, "use POST"),
        ("POST", "/v1/models/encoder:classify", 405, "use GET"),
        ("DELETE", "/v1/models/encoder", 405, "use GET"),
    ],
)
async def test_a_bad_address_is_an_error_in_the_apis_form(client, method, path, status, words):
    response = await client.request(method, path)
    check_error(response, status, words)
    assert (status == 405) == ("allow" in response.headers)


async def test_size_overload_and_faults_are_in_the_apis_form(client, engine):
    check_error(await client.post(f"{ENCODER}:predict", content=b"x" * (2**20 + 1)), 413, "1,048,576")
    check_error(await client.post(f"{GENERATOR}:predict", json={"instances": [[666, 0]]}), 500, "log")
    client._transport.app.service.batcher.max_queue = 0
    refused = await client.post(f"{GENERATOR}:predict", json={"instances": [[0, 0]]})
    check_error(refused, 503, "again")
    assert int(refused.headers["retry-after"]) >= 1
