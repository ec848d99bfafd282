"""Clients that know nothing of this project: NVIDIA's tritonclient, unmodified, and TensorFlow Serving's curl lines."""

import asyncio
import base64
import json
import subprocess

import httpx
import numpy as np
import pytest

from tests.support.pictures import file_of, on_paper
from tests.support.server import Server

pytestmark = [
    pytest.mark.slow,
    # Of what the client is built on (gevent, aiohttp), not of ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

Z = np.array([[0.5, -0.25], [-1, 2]], np.float32)
NUMPY = {"FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "UINT8": np.uint8}


@pytest.fixture
def server(shipped) -> Server:
    return shipped


def address(server):
    return server.url.removeprefix("http://")


def encoded(server, *files):
    """What /encode says of these files: z_mean."""
    parts = [("image", ("x", file)) for file in files]
    return np.array(httpx.post(f"{server.url}/encode", files=parts, timeout=60).json()["z_mean"])


def image_input(module, digit, datatype, *, binary):
    array = digit[np.newaxis] if datatype == "UINT8" else (digit[np.newaxis] / 255).astype(NUMPY[datatype])
    given = module.InferInput("image", list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def file_input(module, files, *, binary):
    given = module.InferInput("image", [len(files)], "BYTES")
    elements = files if binary else [base64.b64encode(file) for file in files]
    given.set_data_from_numpy(np.array(elements, np.object_), binary_data=binary)
    return given


def z_input(module, *, binary):
    given = module.InferInput("z", list(Z.shape), "FP32")
    given.set_data_from_numpy(Z, binary_data=binary)
    return given


def ways(module, digit):
    """Every way in which the client can send the digit, and how close half precision comes to it."""
    for binary in (True, False):
        for datatype in ("FP32", "FP64", "UINT8"):
            yield image_input(module, digit, datatype, binary=binary), 1e-6
        yield file_input(module, [file_of(digit)], binary=binary), 1e-6
    yield image_input(module, digit, "FP16", binary=True), 0.05  # the client sends it in binary only


def test_tritonclient_finds_the_server_and_its_models(server):
    import tritonclient.http as triton

    with triton.InferenceServerClient(address(server)) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
        assert {each["name"] for each in client.get_model_repository_index()} == {"encoder", "generator"}
        for model in ("encoder", "generator"):
            (version,) = client.get_model_metadata(model)["versions"]
            assert client.is_model_ready(model)
            assert client.is_model_ready(model, version)
            assert client.get_model_metadata(model, version)["platform"] == "tensorflow_savedmodel"
            assert not client.is_model_ready(model, "99")
        assert not client.is_model_ready("decoder")


def test_tritonclient_gets_the_z_of_encode_however_it_sends_the_image(server, digit):
    import tritonclient.http as triton

    expected = encoded(server, file_of(digit))
    with triton.InferenceServerClient(address(server)) as client:
        for given, close in ways(triton, digit):
            answer = client.infer("encoder", [given], request_id="7")
            assert answer.get_response()["id"] == "7"
            assert np.abs(answer.as_numpy("z_mean") - expected).max() < close
            assert answer.as_numpy("z_log_var").shape == (1, 2)
        photos = [file_of(on_paper(digit), "JPEG"), file_of(digit)]
        found = client.infer("encoder", [file_input(triton, photos, binary=True)]).as_numpy("z_mean")
        assert np.abs(found - encoded(server, *photos)).max() < 1e-6


def test_tritonclient_gets_digits_as_json_and_in_binary(server):
    import tritonclient.http as triton

    expected = curl(server, "generator", {"inputs": Z.tolist()})["outputs"]
    with triton.InferenceServerClient(address(server)) as client:
        for binary in (True, False):
            for compression in (None, "gzip", "deflate"):
                answer = client.infer(
                    "generator",
                    [z_input(triton, binary=binary)],
                    outputs=[triton.InferRequestedOutput("image", binary_data=binary)],
                    request_compression_algorithm=compression,
                    response_compression_algorithm=compression,
                )
                assert answer.as_numpy("image").dtype == np.float32
                assert np.abs(answer.as_numpy("image") - expected).max() < 1e-6
        running = [client.async_infer("generator", [z_input(triton, binary=True)]) for _ in range(8)]
        # In a larger batch the same row may come out one rounding apart.
        assert all(np.abs(each.get_result().as_numpy("image") - expected).max() < 1e-5 for each in running)


def test_tritonclient_understands_what_was_wrong(server, digit):
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException

    with triton.InferenceServerClient(address(server)) as client:
        with pytest.raises(InferenceServerException, match="one input of generator") as raised:
            client.infer("generator", [image_input(triton, digit, "FP32", binary=True)])
        assert raised.value.status() == "400"
        with pytest.raises(InferenceServerException, match="no model 'decoder'") as raised:
            client.infer("decoder", [z_input(triton, binary=True)])
        assert raised.value.status() == "404"


def test_tritonclient_for_asyncio_gets_the_same(server, digit):
    import tritonclient.http.aio as triton

    expected = encoded(server, file_of(digit))

    async def call():
        async with triton.InferenceServerClient(address(server)) as client:
            assert await client.is_server_ready()
            assert (await client.get_model_metadata("encoder"))["inputs"][0]["shape"] == [-1, 28, 28]
            given = list(ways(triton, digit))
            answers = await asyncio.gather(*(client.infer("encoder", [each]) for each, _ in given))
            for answer, (_, close) in zip(answers, given, strict=True):
                assert np.abs(answer.as_numpy("z_mean") - expected).max() < max(close, 1e-5)  # they share a batch
            plain = [triton.InferRequestedOutput("image", binary_data=False)]
            digits = await client.infer("generator", [z_input(triton, binary=True)], outputs=plain)
            assert digits.as_numpy("image").shape == (2, 28, 28)

    asyncio.run(call())


def curl(server, model, document):
    """As TensorFlow Serving's documentation has it: no content type given, so curl says that it is a form."""
    command = ["curl", "-s", "-d", "@-", "-X", "POST", f"{server.url}/v1/models/{model}:predict"]
    done = subprocess.run(command, input=json.dumps(document), capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_curl_as_tensorflow_serving_documents_it(server, digit):
    status = json.loads(subprocess.check_output(["curl", "-s", f"{server.url}/v1/models/encoder"], timeout=60))
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    described = json.loads(
        subprocess.check_output(["curl", "-s", f"{server.url}/v1/models/encoder/metadata"], timeout=60)
    )
    assert "serving_default" in described["metadata"]["signature_def"]["signature_def"]
    expected = encoded(server, file_of(digit))
    rows = (digit[np.newaxis] / 255).tolist()
    file = {"b64": base64.b64encode(file_of(digit)).decode()}
    for document in (
        {"instances": rows},
        {"instances": [{"image": rows[0]}]},
        {"instances": [file]},
        {"signature_name": "serving_default", "instances": [{"image": file}]},
    ):
        (prediction,) = curl(server, "encoder", document)["predictions"]
        assert np.abs(prediction["z_mean"] - expected).max() < 1e-6
    for document in ({"inputs": rows}, {"inputs": {"image": rows}}, {"inputs": {"image": [file]}}):
        assert np.abs(curl(server, "encoder", document)["outputs"]["z_mean"] - expected).max() < 1e-6
    assert np.shape(curl(server, "generator", {"instances": Z.tolist()})["predictions"]) == (2, 28, 28)
    assert set(curl(server, "generator", {"instances": [[1.0, 2.0, 5.0]]})) == {"error"}
