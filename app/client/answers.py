"""Parsing of responses into results; a response that does not fit the contract raises BadAnswer."""

import base64
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
from PIL import Image

from app.client import npy
from app.client.errors import BadAnswer, Problem
from app.client.results import ByteArray, Drawing, Encoding, FloatArray, Generated, Reconstruction

PROBLEM = "application/problem+json"
MOST_DIGIT_PIXELS = 2**20  # of one digit; a picture of few bytes may claim billions


def problem(response: httpx.Response) -> Problem:
    """Read the problem document of an error; build one if the response has none, as from a proxy."""
    status = response.status_code
    if response.headers.get("content-type", "").partition(";")[0] == PROBLEM:
        with suppress(Exception):  # one that cannot be read is as good as none
            found = response.json()
            words = {name: str(found[name]) for name in ("code", "title", "detail", "type")}
            return Problem(status=status, request_id=found.get("request_id"), **words)
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    detail = f"The answer was {status} {phrase} without a problem document."
    return Problem(status, f"http-{status}", phrase, detail, "about:blank")


def encoding(response: httpx.Response, n: int) -> Encoding:
    """Read the response of POST /encode for n images.

    Raises:
        BadAnswer: the response is not of that form.
    """
    with _reading(response):
        found = _document(response)
        z_mean, z_log_var = _rows(found["z_mean"], n, 2), _rows(found["z_log_var"], n, 2)
        return Encoding(z_mean, z_log_var, int(found["model_version"]))


def generated(response: httpx.Response, z: FloatArray) -> Generated:
    """Read the response of POST /generate for z (n, d), as npy.

    Raises:
        BadAnswer: the response is not of that form.
    """
    with _reading(response):
        pixels = npy.digits(response.content)
        if len(pixels) != len(z):
            raise ValueError(f"{len(pixels)} digits for {len(z)} z")
        return Generated(pixels, z, _version(response))


def sampled(response: httpx.Response, n: int) -> Generated:
    """Read the response of POST /generate for n samples, as JSON.

    Raises:
        BadAnswer: the response is not of that form.
    """
    with _reading(response):
        found = _document(response)
        return Generated(_digits(found["images"], n), _rows(found["z"], n, 2), int(found["model_version"]))


def reconstruction(response: httpx.Response, n: int) -> Reconstruction:
    """Read the response of POST /reconstruct for n images.

    Raises:
        BadAnswer: the response is not of that form.
    """
    with _reading(response):
        found = _document(response)
        return Reconstruction(
            z_mean=_rows(found["z_mean"], n, 2),
            z_log_var=_rows(found["z_log_var"], n, 2),
            pixels=_digits(found["reconstruction"], n),
            xent=_rows(found["xent"], n, 1),
            kl=_rows(found["kl"], n, 1),
            loss=_rows(found["loss"], n, 1),
            model_version=int(found["model_version"]),
        )


def drawing(response: httpx.Response) -> Drawing:
    """Read the response of GET /manifold.png.

    Raises:
        BadAnswer: the response is not a PNG.
    """
    with _reading(response):
        if not response.content.startswith(b"\x89PNG"):
            raise ValueError("no PNG")
        return Drawing(response.content, _version(response))


def manifest(response: httpx.Response) -> dict[str, Any]:
    """Read the response of GET /model.

    Raises:
        BadAnswer: the response is not of that form.
    """
    with _reading(response):
        found = _document(response)
        int(found["version"])
        return found


@contextmanager
def _reading(response: httpx.Response) -> Iterator[None]:
    try:
        yield
    except Exception as exc:  # a strange body ends in whatever JSON, NumPy and Pillow run into, memory included
        kind = response.headers.get("content-type", "no content type")
        what = f"The answer ({response.status_code}, {kind}) is not one of digit-vae's. Is the address right?"
        raise BadAnswer(what) from exc


def _document(response: httpx.Response) -> dict[str, Any]:
    found = json.loads(response.content)
    if not isinstance(found, dict):
        raise TypeError("no JSON object")
    return found


def _rows(values: Any, n: int, axes: int) -> FloatArray:
    with np.errstate(over="ignore"):
        array = np.asarray(values, np.float32)
    if array.ndim != axes or len(array) != n or not np.isfinite(array).all():
        raise ValueError(f"{array.shape} for {n} rows, or not finite")
    return array


def _digits(files: list[str], n: int) -> ByteArray:
    """Decode n PNG files in base64 to grey levels, uint8 (n, h, w)."""
    if len(files) != n:
        raise ValueError(f"{len(files)} pictures for {n} digits")
    return np.stack([_digit(base64.b64decode(file)) for file in files])


def _digit(file: bytes) -> ByteArray:
    picture = Image.open(io.BytesIO(file), formats=["PNG"])
    if picture.mode != "L" or picture.width * picture.height > MOST_DIGIT_PIXELS:
        raise ValueError(f"{picture.mode} {picture.size}")
    return np.array(picture)


def _version(response: httpx.Response) -> int:
    return int(response.headers["x-model-version"])
