"""Answers of the service to results: a response is read here, or told to be none of the service's."""

from __future__ import annotations

import base64
import io
import json
from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
from PIL import Image

from app.client.errors import BadAnswer, Problem
from app.client.results import ByteArray, Drawing, Encoding, FloatArray, Generated, Reconstruction

PROBLEM = "application/problem+json"
MALFORMED = (KeyError, TypeError, ValueError, OSError, SyntaxError)  # what reading a strange body may end in


def problem(response: httpx.Response) -> Problem:
    """The problem document of an error; one is made up for whoever stands before the service and sends none."""
    status = response.status_code
    if response.headers.get("content-type", "").partition(";")[0] == PROBLEM:
        try:
            found = response.json()
            words = {name: str(found[name]) for name in ("code", "title", "detail", "type")}
            return Problem(status=status, **words)
        except MALFORMED:
            pass  # as good as none
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    detail = f"The answer was {status} {phrase} without a problem document."
    return Problem(status, f"http-{status}", phrase, detail, "about:blank")


def encoding(response: httpx.Response, n: int) -> Encoding:
    """The answer of POST /encode for n images.

    Raises:
        BadAnswer: it is no such answer.
    """
    try:
        found = _document(response)
        z_mean, z_log_var = _rows(found["z_mean"], n, 2), _rows(found["z_log_var"], n, 2)
        return Encoding(z_mean, z_log_var, int(found["model_version"]))
    except MALFORMED as exc:
        raise _strange(response) from exc


def generated(response: httpx.Response, z: FloatArray) -> Generated:
    """The answer of POST /generate for z (n, d), as npy.

    Raises:
        BadAnswer: it is no such answer.
    """
    try:
        pixels = np.load(io.BytesIO(response.content), allow_pickle=False)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or len(pixels) != len(z):
            raise ValueError(f"{pixels.dtype} {pixels.shape}")
        return Generated(pixels, z, _version(response))
    except (*MALFORMED, EOFError) as exc:
        raise _strange(response) from exc


def sampled(response: httpx.Response, n: int) -> Generated:
    """The answer of POST /generate for n draws, as JSON.

    Raises:
        BadAnswer: it is no such answer.
    """
    try:
        found = _document(response)
        return Generated(_digits(found["images"], n), _rows(found["z"], n, 2), int(found["model_version"]))
    except MALFORMED as exc:
        raise _strange(response) from exc


def reconstruction(response: httpx.Response, n: int) -> Reconstruction:
    """The answer of POST /reconstruct for n images.

    Raises:
        BadAnswer: it is no such answer.
    """
    try:
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
    except MALFORMED as exc:
        raise _strange(response) from exc


def drawing(response: httpx.Response) -> Drawing:
    """The answer of GET /manifold.png.

    Raises:
        BadAnswer: it is no picture.
    """
    try:
        if not response.content.startswith(b"\x89PNG"):
            raise ValueError("no PNG")
        return Drawing(response.content, _version(response))
    except MALFORMED as exc:
        raise _strange(response) from exc


def manifest(response: httpx.Response) -> dict[str, Any]:
    """The answer of GET /model.

    Raises:
        BadAnswer: it is no such answer.
    """
    try:
        found = _document(response)
        int(found["version"])
    except MALFORMED as exc:
        raise _strange(response) from exc
    return found


def _document(response: httpx.Response) -> dict[str, Any]:
    found = json.loads(response.content)
    if not isinstance(found, dict):
        raise TypeError("no JSON object")
    return found


def _rows(values: Any, n: int, axes: int) -> FloatArray:
    array = np.asarray(values, np.float32)
    if array.ndim != axes or len(array) != n:
        raise ValueError(f"{array.shape} for {n} rows")
    return array


def _digits(files: list[str], n: int) -> ByteArray:
    """PNG files in base64 as grey levels, uint8 (n, h, w)."""
    pictures: list[npt.NDArray[np.uint8]] = [np.array(Image.open(io.BytesIO(base64.b64decode(file)))) for file in files]
    stacked = np.stack(pictures)
    if stacked.ndim != 3 or len(stacked) != n:
        raise ValueError(f"{stacked.shape} for {n} digits")
    return stacked


def _version(response: httpx.Response) -> int:
    return int(response.headers["x-model-version"])


def _strange(response: httpx.Response) -> BadAnswer:
    kind = response.headers.get("content-type", "no content type")
    return BadAnswer(f"The answer ({response.status_code}, {kind}) is not one of digit-vae's. Is the address right?")
