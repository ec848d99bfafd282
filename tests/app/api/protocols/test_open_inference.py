"""The Open Inference Protocol v2: every datatype in, every form out, and {"error"} for whatever is wrong."""

import base64
import gzip
import json
import signal
import struct
import zlib

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.main import create_app
from tests.support.fakes import FakeEngine, paint
from tests.support.pictures import bomb, file_of, on_paper

ENCODER = "/v2/models/encoder"
GENERATOR = "/v2/models/generator"
DTYPES = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "UINT8": np.uint8}
LENGTH = "Inference-Header-Content-Length"


def image(datatype, batch):
    """A batch of uint8 digits as the datatype has it."""
    return batch if datatype == "UINT8" else (batch / 255).astype(DTYPES[datatype])


def tensor(name, datatype, array, **more):
    return {"name": name, "datatype": datatype, "shape": list(array.shape), **more}


def framed(files):
    return b"".join(struct.pack("<I", len(file)) + file for file in files)


def binary(document, *raw, **headers):
    """A body of JSON and raw tensors, and its headers."""
    head = json.dumps(document).encode()
    return {"content": b"".join((head, *raw)), "headers": {LENGTH: str(len(head)), **headers}}


def text_of(file):
    return base64.b64encode(file).decode()


def outputs_of(response):
    """The outputs as arrays, whichever way they came."""
    assert response.status_code == 200, response.text
    length = int(response.headers.get(LENGTH, len(response.content)))
    document, rest = json.loads(response.content[:length]), response.content[length:]
    found = {}
    for each in document["outputs"]:
        assert each["datatype"] == "FP32"
        size = each.get("parameters", {}).get("binary_data_size")
        data = each["data"] if size is None else np.frombuffer(rest[:size], "<f4")
        rest = rest[size or 0 :]
        found[each["name"]] = np.asarray(data, np.float32).reshape(each["shape"])
    assert rest == b""
    return document, found


def check_error(response, status, words):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}
    assert words in response.json()["error"]
    assert len(response.json()["error"]) > 10


async def test_the_server_and_its_models_say_what_they_are(client):
    for path in ("/v2", "/v2/"):
        server = (await client.get(path)).json()
        assert server["name"] == "digit-vae"
        assert isinstance(server["version"], str)
        assert server["extensions"] == ["binary_tensor_data"]
    assert (await client.get("/v2/health/live")).json() == {"live": True}
    assert (await client.get("/v2/health/ready")).json() == {"ready": True}
    picture = {"name": "image", "datatype": "FP32", "shape": [-1, 28, 28]}
    z = [{"name": name, "datatype": "FP32", "shape": [-1, 2]} for name in ("z_mean", "z_log_var", "z")]
    for name, inputs, outputs in (("encoder", [picture], z[:2]), ("generator", z[2:], [picture])):
        for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/1"):
            assert (await client.get(f"{path}/ready")).json() == {"name": name, "ready": True}
            assert (await client.get(path)).json() == {
                "name": name,
                "versions": ["1"],
                "platform": "tensorflow_savedmodel",
                "inputs": inputs,
                "outputs": outputs,
            }
    assert (await client.post("/v2/repository/index", json={})).json() == [
        {"name": name, "version": "1", "state": "READY", "reason": ""} for name in ("encoder", "generator")
    ]


@pytest.mark.parametrize("datatype", DTYPES)
@pytest.mark.parametrize("way", ["nested", "flat", "binary"])
@pytest.mark.parametrize("path", [ENCODER, f"{ENCODER}/versions/1"])
async def test_images_of_every_datatype_give_the_z_of_encode(client, digit, datatype, way, path):
    batch = np.stack([digit, digit[:, ::-1]])
    array = image(datatype, batch)
    if way == "binary":
        raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
        parameters = {"binary_data_size": len(raw)}
        request = binary({"inputs": [tensor("image", datatype, array, parameters=parameters)]}, raw)
    else:
        data = array.tolist() if way == "nested" else array.ravel().tolist()
        request = {"json": {"id": "7", "inputs": [tensor("image", datatype, array, data=data)]}}
    response = await client.post(f"{path}/infer", **request)
    document, found = outputs_of(response)
    assert (document["model_name"], document["model_version"]) == ("encoder", "1")
    assert document.get("id") == (None if way == "binary" else "7")
    assert response.headers["x-model-version"] == "1"
    parts = [("image", ("digit.png", file_of(each))) for each in batch]
    expected = (await client.post("/encode", files=parts)).json()
    close = 1e-3 if datatype == "FP16" else 1e-6
    assert list(found) == ["z_mean", "z_log_var"]
    assert np.abs(found["z_mean"] - expected["z_mean"]).max() < close
    assert np.abs(found["z_log_var"] - expected["z_log_var"]).max() < close


@pytest.mark.parametrize("shape", [[2], [2, 1]])
async def test_picture_files_are_prepared_as_encode_does(client, digit, shape):
    files = [file_of(digit), file_of(on_paper(digit), "JPEG")]
    expected = (await client.post("/encode", files=[("image", ("x", file)) for file in files])).json()["z_mean"]
    raw, texts = framed(files), [text_of(file) for file in files]
    given = {"name": "image", "datatype": "BYTES", "shape": shape}
    for request in (
        {"json": {"inputs": [{**given, "data": texts if len(shape) == 1 else [[text] for text in texts]}]}},
        binary({"inputs": [{**given, "parameters": {"binary_data_size": len(raw)}}]}, raw),
    ):
        _, found = outputs_of(await client.post(f"{ENCODER}/infer", **request))
        assert np.abs(found["z_mean"] - expected).max() < 1e-6


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
async def test_latent_vectors_give_unrounded_images(client, datatype):
    z = np.array([[0.5, -0.25], [1, 2], [0, 0]], DTYPES[datatype])
    raw = z.tobytes()
    given = tensor("z", datatype, z, parameters={"binary_data_size": len(raw)})
    for request in (
        {"json": {"inputs": [tensor("z", datatype, z, data=z.tolist())]}},
        binary({"inputs": [given], "parameters": {"binary_data_output": True}}, raw),
    ):
        _, found = outputs_of(await client.post(f"{GENERATOR}/infer", **request))
        assert np.array_equal(found["image"], paint(z.astype(np.float32)))


@pytest.mark.parametrize(
    ("parameters", "outputs", "expected"),
    [
        ({}, None, {"z_mean": False, "z_log_var": False}),
        ({}, [], {"z_mean": False, "z_log_var": False}),
        ({"binary_data_output": True}, None, {"z_mean": True, "z_log_var": True}),
        ({}, [{"name": "z_log_var"}], {"z_log_var": False}),
        ({}, [{"name": "z_log_var", "parameters": {"binary_data": True}}], {"z_log_var": True}),
        (
            {"binary_data_output": True},
            [{"name": "z_log_var"}, {"name": "z_mean", "parameters": {"binary_data": False}}],
            {"z_log_var": True, "z_mean": False},
        ),
    ],
)
async def test_outputs_are_those_asked_for_in_the_form_asked_for(client, digit, parameters, outputs, expected):
    document = {
        "inputs": [tensor("image", "UINT8", digit[None], data=digit.ravel().tolist())],
        "parameters": parameters,
    }
    response = await client.post(f"{ENCODER}/infer", json=document | ({} if outputs is None else {"outputs": outputs}))
    answer, found = outputs_of(response)
    assert {each["name"]: "data" not in each for each in answer["outputs"]} == expected
    assert list(found) == list(expected)
    assert (LENGTH in response.headers) == any(expected.values())
    kind = "application/octet-stream" if any(expected.values()) else "application/json"
    assert response.headers["content-type"] == kind


@pytest.mark.parametrize("binary_", [False, True])
async def test_a_large_answer_is_written_off_the_loop_and_is_the_same(client, binary_):
    z = np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32)
    request = {"inputs": [tensor("z", "FP32", z, data=z.tolist())], "parameters": {"binary_data_output": binary_}}
    _, found = outputs_of(await client.post(f"{GENERATOR}/infer", json=request))
    assert np.array_equal(found["image"], paint(z))
    answer = await client.post("/v1/models/generator:predict", json={"instances": z.tolist()})
    assert np.array_equal(np.array(answer.json()["predictions"], np.float32), paint(z))


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_requests_are_read(client, encoding, pack):
    z = np.array([[1, -1]], np.float32)
    request = binary({"inputs": [tensor("z", "FP32", z, parameters={"binary_data_size": 8})]}, z.tobytes())
    headers = {**request["headers"], "content-encoding": encoding}
    good = await client.post(f"{GENERATOR}/infer", content=pack(request["content"]), headers=headers)
    assert np.array_equal(outputs_of(good)[1]["image"], paint(z))
    for body, status, words in (
        (b"junk", 400, "does not unpack"),
        (pack(b"x" * 2**21), 413, "1,048,576"),
        (pack(request["content"])[:-1], 400, "breaks off"),
        (pack(request["content"]) + b"x", 400, "follows it"),
        (pack(b""), 400, "nothing"),
    ):
        check_error(await client.post(f"{GENERATOR}/infer", content=body, headers=headers), status, words)
    headers["content-encoding"] = "br"
    check_error(await client.post(f"{GENERATOR}/infer", content=b"x", headers=headers), 400, "gzip")


Z = {"name": "z", "datatype": "FP32", "shape": [1, 2], "data": [0, 0]}
RAW_Z = {"name": "z", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
PICTURE = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}
FILE = {"name": "image", "datatype": "BYTES", "shape": [1]}

BAD = {
    "no body": (GENERATOR, {"content": b""}, "empty"),
    "no json": (GENERATOR, {"content": b"z=0"}, "not an inference request"),
    "half of it": (GENERATOR, {"content": b'{"inputs": ['}, "not an inference request"),
    "not utf-8": (GENERATOR, {"content": b'{"id": "\xff"}'}, "not an inference request"),
    "a list": (GENERATOR, {"json": [Z]}, "not an inference request"),
    "deep nesting": (GENERATOR, {"content": b'{"inputs": ' + b"[" * 100_000}, "not an inference request"),
    "deeply nested data": (GENERATOR, {"content": json.dumps({"inputs": [{**Z, "data": 0}]}).replace(
        ' 0}', " " + "[" * 150 + "]" * 150 + "}").encode()}, "8 deep"),
    "no inputs": (GENERATOR, {"json": {}}, "inputs"),
    "an empty list of inputs": (GENERATOR, {"json": {"inputs": []}}, "inputs"),
    "a number for an id": (GENERATOR, {"json": {"id": 7, "inputs": [Z]}}, "id"),
    "no name": (GENERATOR, {"json": {"inputs": [{**Z, "name": None}]}}, "name"),
    "another input": (GENERATOR, {"json": {"inputs": [{**Z, "name": "x"}]}}, "'z'"),
    "one input too many": (GENERATOR, {"json": {"inputs": [Z, {**Z, "name": "x"}]}}, "'z'"),
    "an input twice": (GENERATOR, {"json": {"inputs": [Z, Z]}}, "twice"),
    "no shape": (GENERATOR, {"json": {"inputs": [{**Z, "shape": None}]}}, "shape"),
    "an empty shape": (GENERATOR, {"json": {"inputs": [{**Z, "shape": []}]}}, "shape"),
    "a negative shape": (GENERATOR, {"json": {"inputs": [{**Z, "shape": [-1, 2]}]}}, "shape"),
    "a shape of text": (GENERATOR, {"json": {"inputs": [{**Z, "shape": ["1", 2]}]}}, "shape"),
    "a shape of halves": (GENERATOR, {"json": {"inputs": [{**Z, "shape": [1.5, 2]}]}}, "shape"),
    "a huge shape": (GENERATOR, {"json": {"inputs": [{**Z, "shape": [2**60, 2**60]}]}}, "announced"),
    "a shape of another width": (GENERATOR, {"json": {"inputs": [{**Z, "shape": [1, 3], "data": [0] * 3}]}}, "[n, 2]"),
    "a shape of another rank": (GENERATOR, {"json": {"inputs": [{**Z, "shape": [2]}]}}, "[n, 2]"),
    "nothing in a huge shape": (GENERATOR, binary({"inputs": [
        {**RAW_Z, "shape": [0, 2**62, 10**30], "parameters": {"binary_data_size": 0}}]}), "at least one"),
    "no rows": (GENERATOR, {"json": {"inputs": [{**Z, "shape": [0, 2], "data": []}]}}, "at least one"),
    "a shape of thousands of digits": (
        GENERATOR,
        {"json": {"inputs": [{**Z, "shape": [10**4000, 10**4000]}]}},
        "less than",
    ),
    "too many rows": (GENERATOR, {"json": {"inputs": [{**Z, "shape": [5000, 2], "data": [0] * 10_000}]}}, "4096"),
    "another datatype": (GENERATOR, {"json": {"inputs": [{**Z, "datatype": "INT32"}]}}, "FP32"),
    "an unknown datatype": (GENERATOR, {"json": {"inputs": [{**Z, "datatype": "float"}]}}, "FP32"),
    "levels for z": (GENERATOR, {"json": {"inputs": [{**Z, "datatype": "UINT8"}]}}, "FP32"),
    "files for z": (GENERATOR, {"json": {"inputs": [{**Z, "datatype": "BYTES", "shape": [1], "data": ["AA=="]}]}},
                    "numbers"),
    "no data": (GENERATOR, {"json": {"inputs": [{**Z, "data": None}]}}, "either data"),
    "data and a size": (GENERATOR, binary({"inputs": [{**RAW_Z, "data": [0, 0]}]}, bytes(8)), "either data"),
    "data that is a number": (GENERATOR, {"json": {"inputs": [{**Z, "data": 0}]}}, "data"),
    "too little data": (GENERATOR, {"json": {"inputs": [{**Z, "data": [0]}]}}, "announced"),
    "data of another shape": (GENERATOR, {"json": {"inputs": [{**Z, "data": [[0], [0]]}]}}, "announced"),
    "text in the data": (GENERATOR, {"json": {"inputs": [{**Z, "data": [0, "0"]}]}}, "not a number"),
    "true in the data": (GENERATOR, {"json": {"inputs": [{**Z, "data": [0, True]}]}}, "not a number"),
    "nan": (GENERATOR, {"content": json.dumps({"inputs": [{**Z, "data": [0, float("nan")]}]}).encode()}, "finite"),
    "raw nan": (GENERATOR, binary({"inputs": [RAW_Z]}, np.array([np.nan, 0], "<f4").tobytes()), "finite"),
    "raw infinity in half precision": (GENERATOR, binary(
        {"inputs": [{**RAW_Z, "datatype": "FP16", "parameters": {"binary_data_size": 4}}]},
        np.array([np.inf, 0], "<f2").tobytes()), "finite"),
    "1e39": (GENERATOR, {"json": {"inputs": [{**Z, "data": [0, 1e39]}]}}, "million"),
    "a negative size": (GENERATOR, binary({"inputs": [{**RAW_Z, "parameters": {"binary_data_size": -8}}]}, bytes(8)),
                        "binary_data_size"),
    "a size of text": (GENERATOR, binary({"inputs": [{**RAW_Z, "parameters": {"binary_data_size": "8"}}]}, bytes(8)),
                       "binary_data_size"),
    "fewer bytes than announced": (GENERATOR, binary({"inputs": [RAW_Z]}, bytes(7)), "announces 8"),
    "more bytes than announced": (GENERATOR, binary({"inputs": [RAW_Z]}, bytes(9)), "1 bytes follow"),
    "bytes that nobody announced": (GENERATOR, binary({"inputs": [Z]}, bytes(8)), "8 bytes follow"),
    "a size that the shape contradicts": (GENERATOR, binary({"inputs": [{**RAW_Z, "shape": [2, 2]}]}, bytes(8)), "16"),
    "a size but no header": (GENERATOR, {"json": {"inputs": [RAW_Z]}}, LENGTH),
    "an unknown output": (GENERATOR, {"json": {"inputs": [Z], "outputs": [{"name": "z_mean"}]}}, "image"),
    "an output twice": (GENERATOR, {"json": {"inputs": [Z], "outputs": [{"name": "image"}] * 2}}, "twice"),
    "an output without a name": (GENERATOR, {"json": {"inputs": [Z], "outputs": [{}]}}, "name"),
    "a classification": (GENERATOR, {"json": {"inputs": [Z], "outputs": [
        {"name": "image", "parameters": {"classification": 3}}]}}, "classification"),
    "text for binary_data": (GENERATOR, {"json": {"inputs": [Z], "outputs": [
        {"name": "image", "parameters": {"binary_data": "yes"}}]}}, "binary_data"),
    "text for binary_data_output": (GENERATOR, {"json": {"inputs": [Z], "parameters": {"binary_data_output": 1}}},
                                    "binary_data_output"),
    "an image of another size": (ENCODER, {"json": {"inputs": [{**PICTURE, "shape": [1, 14, 56]}]}}, "[n, 28, 28]"),
    "an image without its batch": (ENCODER, {"json": {"inputs": [{**PICTURE, "shape": [28, 28]}]}}, "[n, 28, 28]"),
    "level 256": (ENCODER, {"json": {"inputs": [{**PICTURE, "data": [256] * 784}]}}, "0 to 255"),
    "a level of a half": (ENCODER, {"json": {"inputs": [{**PICTURE, "data": [0.5] * 784}]}}, "0 to 255"),
    "a float above 1": (ENCODER, {"json": {"inputs": [{**PICTURE, "datatype": "FP32", "data": [2] * 784}]}}, "0 .. 1"),
    "too many files": (ENCODER, {"json": {"inputs": [{**FILE, "shape": [257], "data": ["AA=="] * 257}]}}, "256"),
    "files of another shape": (ENCODER, {"json": {"inputs": [{**FILE, "shape": [1, 2], "data": ["AA=="] * 2}]}}, "[n]"),
    "no files": (ENCODER, {"json": {"inputs": [{**FILE, "shape": [0], "data": []}]}}, "[n]"),
    "fewer files than announced": (ENCODER, {"json": {"inputs": [{**FILE, "shape": [2], "data": ["AA=="]}]}}, "2 file"),
    "a file that is a number": (ENCODER, {"json": {"inputs": [{**FILE, "data": [7]}]}}, "base64"),
    "a file that is not base64": (ENCODER, {"json": {"inputs": [{**FILE, "data": ["***"]}]}}, "base64"),
    "a file that is no picture": (ENCODER, {"json": {"inputs": [{**FILE, "data": ["c2V2ZW4="]}]}}, "PNG, JPEG"),
    "an empty file": (ENCODER, {"json": {"inputs": [{**FILE, "data": [""]}]}}, "no bytes"),
    "a picture bomb": (ENCODER, {"json": {"inputs": [{**FILE, "data": [text_of(bomb())]}]}}, "pixels"),
    "an element longer than its bytes": (ENCODER, binary(
        {"inputs": [{**FILE, "parameters": {"binary_data_size": 8}}]}, struct.pack("<I", 2**32 - 1) + b"four"),
        "elements"),
}  # fmt: skip


@pytest.mark.parametrize(("model", "request_", "words"), BAD.values(), ids=BAD)
async def test_a_bad_request_is_a_400_in_the_protocols_form(client, model, request_, words):
    check_error(await client.post(f"{model}/infer", **request_), 400, words)
    assert (await client.post(f"{GENERATOR}/infer", json={"inputs": [Z]})).status_code == 200


@pytest.mark.parametrize("length", ["-1", "", "x", "1.5", "+3", "٣", "99999", "9" * 5000, "0", "3"])
async def test_a_header_length_that_is_none_is_a_400(client, length):
    headers = [(LENGTH.encode(), length.encode()), (b"content-type", b"application/octet-stream")]
    request = binary({"inputs": [RAW_Z]}, bytes(8))
    check_error(await client.post(f"{GENERATOR}/infer", content=request["content"], headers=headers), 400, "")


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=80), st.integers(0, 200), st.integers(0, 12), st.sampled_from(["FP16", "FP64", "BYTES"]))
def test_no_bytes_behind_the_json_are_a_fault(raw, length, size, datatype):
    """The codec alone, which is all that reads them."""
    from app.api.protocols import open_inference_messages
    from app.errors import RequestError

    given = {"name": "z", "datatype": datatype, "shape": [1, 1], "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [given]}).encode()
    for header_length in (str(len(head)), str(length), None):
        try:
            _, values = open_inference_messages.read(head + raw, header_length, 4, 10**6)
        except RequestError:
            continue
        assert len(values["z"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v2/models/decoder", 404, "encoder and generator"),
        ("GET", "/v2/models/decoder/ready", 404, "encoder"),
        ("POST", "/v2/models/decoder/infer", 404, "encoder"),
        ("GET", "/v2/models/encoder/versions/2", 404, "version 1"),
        ("GET", "/v2/models/encoder/versions/01/ready", 404, "version 1"),
        ("POST", "/v2/models/encoder/versions/latest/infer", 404, "version 1"),
        ("GET", "/v2/models/encoder/config", 404, "Nothing is served"),
        ("GET", "/v2/models", 404, "Nothing is served"),
        ("GET", "/v2/models/encoder/infer", 405, "use POST"),
        ("POST", "/v2/health/live", 405, "use GET"),
    ],
)
async def test_a_bad_address_is_an_error_in_the_protocols_form(client, method, path, status, words):
    check_error(
        await client.request(method, path, **({"json": {"inputs": [Z]}} if method == "POST" else {})), status, words
    )


async def test_a_body_that_is_too_large_is_a_413_in_the_protocols_form(client):
    async def endless():
        for _ in range(4000):
            yield b"x" * 1000

    for content in (b"x" * (2**20 + 1), endless()):
        check_error(await client.post(f"{ENCODER}/infer", content=content), 413, "1,048,576")


async def test_overload_and_faults_are_in_the_protocols_form(client, engine, caplog):
    broken = await client.post(f"{GENERATOR}/infer", json={"inputs": [{**Z, "data": [666, 0]}]})
    check_error(broken, 500, "log")
    assert "RuntimeError" in caplog.text
    assert "RuntimeError" not in broken.text
    client._transport.app.service.batcher.max_queue = 0
    refused = await client.post(f"{GENERATOR}/infer", json={"inputs": [Z]})
    check_error(refused, 503, "again")
    assert int(refused.headers["retry-after"]) >= 1


async def test_an_unforeseen_fault_is_in_the_protocols_form(client, monkeypatch):
    monkeypatch.setattr(client._transport.app.service, "generate_unrounded", None)
    check_error(await client.post(f"{GENERATOR}/infer", json={"inputs": [Z]}), 500, "log")


async def test_told_to_stop_it_is_not_ready(settings):
    before = signal.signal(signal.SIGTERM, lambda signum, frame: None)
    try:
        app = create_app(settings.model_copy(update={"drain_s": 5}), lambda stored, settings: FakeEngine())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://x") as client,
        ):
            signal.raise_signal(signal.SIGTERM)
            for path in ("/v2/health/ready", f"{ENCODER}/ready", f"{GENERATOR}/versions/1/ready"):
                check_error(await client.get(path), 503, "stopping")
            assert (await client.get("/v2/health/live")).status_code == 200
            assert (await client.post(f"{GENERATOR}/infer", json={"inputs": [Z]})).status_code == 200
            assert app.service is not None
            app.service.batcher._closed = True
            check_error(await client.post(f"{GENERATOR}/infer", json={"inputs": [Z]}), 503, "stopping")
    finally:
        signal.signal(signal.SIGTERM, before)
