"""The shipped model by every way there is to send it an image: one image, one z. And by no way a fault."""

import base64
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from app.api.formats import npy
from app.client import Client
from tests.support.paths import ROOT
from tests.support.strategies import protocol_requests

pytestmark = pytest.mark.slow

STORE = ROOT / "model_store"
LENGTH = "Inference-Header-Content-Length"
DIGIT, PHOTO = (ROOT / "docs" / "images" / name for name in ("seven.png", "seven.jpg"))
LEVELS = np.asarray(Image.open(DIGIT))  # (28, 28)
PIXELS = LEVELS / np.float32(255)
FLOATS = {"FP32": np.float32, "FP64": np.float64}


@pytest.fixture(scope="module")
def http(shipped) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shipped.url, timeout=60, trust_env=False) as http:
        yield http


def encode(**request: Any) -> Callable[[httpx.Client], Any]:
    return lambda http: http.post("/encode", **request).json()["z_mean"]


def tensor(datatype: str, array: np.ndarray, **more: Any) -> dict[str, Any]:
    return {"name": "image", "datatype": datatype, "shape": list(array.shape), **more}


def infer(given: dict[str, Any], raw: bytes | None = None) -> Callable[[httpx.Client], Any]:
    """The Open Inference Protocol: in JSON, or in binary both ways."""

    def ask(http: httpx.Client) -> Any:
        if raw is None:
            answer = http.post("/v2/models/encoder/infer", json={"inputs": [given]}).json()
            return np.reshape(answer["outputs"][0]["data"], answer["outputs"][0]["shape"])
        document = {
            "inputs": [given | {"parameters": {"binary_data_size": len(raw)}}],
            "parameters": {"binary_data_output": True},
        }
        head = json.dumps(document).encode()
        response = http.post("/v2/models/encoder/infer", content=head + raw, headers={LENGTH: str(len(head))})
        return np.frombuffer(response.content[int(response.headers[LENGTH]) :][:8], "<f4")[np.newaxis]

    return ask


def predict(request: dict[str, Any]) -> Callable[[httpx.Client], Any]:
    def ask(http: httpx.Client) -> Any:
        answer = http.post("/v1/models/encoder:predict", json=request).json()
        return answer["outputs"]["z_mean"] if "outputs" in answer else [answer["predictions"][0]["z_mean"]]

    return ask


def client(image: Any) -> Callable[[httpx.Client], Any]:
    def ask(http: httpx.Client) -> Any:
        with Client(str(http.base_url)) as client:
            return client.encode(image).z_mean

    return ask


def command(*arguments: object) -> Callable[[httpx.Client], Any]:
    """`digit-vae encode --json`; URL stands for the service's address."""

    def ask(http: httpx.Client) -> Any:
        given = [str(http.base_url) if each == "URL" else str(each) for each in arguments]
        line = [sys.executable, "-m", "app.cli", "encode", "--json", *given]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, timeout=300, check=True)
        return [each["z_mean"] for each in json.loads(done.stdout)["images"]]

    return ask


def of_file(file: bytes, kind: str) -> dict[str, Callable[[httpx.Client], Any]]:
    """The ways of a picture file, whatever its size."""
    text = base64.b64encode(file).decode()
    framed = struct.pack("<I", len(file)) + file
    one = np.zeros(1)
    return {
        "body": encode(content=file, headers={"content-type": kind}),
        "form": encode(files=[("image", ("seven", file))]),
        "base64": encode(json={"images": [text]}),
        "infer BYTES": infer(tensor("BYTES", one, data=[text])),
        "infer binary BYTES": infer(tensor("BYTES", one), framed),
        "predict a row of b64": predict({"instances": [{"b64": text}]}),
        "predict a named row of b64": predict({"instances": [{"image": {"b64": text}}]}),
        "predict a column of b64": predict({"inputs": {"image": [{"b64": text}]}}),
        "client": client(file),
    }


def of_pixels() -> dict[str, Callable[[httpx.Client], Any]]:
    """The ways of a digit of the model's size as numbers."""
    batch, floats = LEVELS[np.newaxis], PIXELS[np.newaxis]
    ways = {
        "rows of levels": encode(json={"images": [LEVELS.tolist()]}),
        "rows of floats": encode(json={"images": [PIXELS.tolist()]}),
        "npy of levels": encode(content=npy.dumps(batch), headers={"content-type": npy.MEDIA_TYPE}),
        "npy of floats": encode(content=npy.dumps(floats), headers={"content-type": npy.MEDIA_TYPE}),
        "infer UINT8": infer(tensor("UINT8", batch, data=batch.ravel().tolist())),
        "infer binary UINT8": infer(tensor("UINT8", batch), batch.tobytes()),
        "predict rows": predict({"instances": floats.tolist()}),
        "predict named rows": predict({"instances": [{"image": PIXELS.tolist()}]}),
        "predict a column": predict({"inputs": floats.tolist()}),
        "predict a named column": predict({"signature_name": "serving_default", "inputs": {"image": floats.tolist()}}),
        "client, array of levels": client(LEVELS),
        "client, array of floats": client(PIXELS),
        "client, PIL": client(Image.fromarray(LEVELS)),
        "client, PIL of floats": client(Image.fromarray(PIXELS)),
    }
    for datatype, kind in FLOATS.items():
        array = floats.astype(kind)
        ways[f"infer {datatype}"] = infer(tensor(datatype, array, data=array.tolist()))
        ways[f"infer binary {datatype}"] = infer(tensor(datatype, array), array.tobytes())
    return ways


def of_path(path: Any) -> dict[str, Callable[[httpx.Client], Any]]:
    """The command line's ways."""
    return {
        "client, path": client(path),
        "command": command(path, "--url", "URL"),
        "command, store": command(path, "--store", STORE),
    }


WAYS = {
    "digit": of_file(DIGIT.read_bytes(), "image/png") | of_pixels() | of_path(DIGIT),
    "photo": of_file(PHOTO.read_bytes(), "image/jpeg") | of_path(PHOTO),
}


@pytest.mark.parametrize("image", WAYS)
def test_every_way_to_send_an_image_gives_the_same_z(http, image):
    found = {name: np.asarray(way(http), np.float64) for name, way in WAYS[image].items()}
    expected = found["body"]
    assert expected.shape == (1, 2)
    assert {name: z.tolist() for name, z in found.items() if np.abs(z - expected).max() > 1e-6} == {}


@settings(max_examples=150, deadline=None)
@given(protocol_requests())
def test_no_request_of_a_protocol_is_a_fault(http, request_):
    path, headers, content = request_
    response = http.post(path, content=content, headers=headers)
    assert response.status_code in (200, 400), response.text
    if response.status_code == 400:
        assert set(response.json()) == {"error"}
    assert http.get("/readyz").status_code == 200
