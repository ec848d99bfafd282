"""Answers that are none of the service's: each is a BadAnswer, and costs no memory that its bytes do not pay for."""

import base64
import contextlib
import json

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.api.formats import npy
from app.client import BadAnswer, answers
from tests.support.pictures import bomb, file_of

WHOLE = npy.dumps(np.zeros((1, 28, 28), np.uint8))
HEADER = len(WHOLE) - 784
Z = np.zeros((1, 2), np.float32)


def answer(content: bytes) -> httpx.Response:
    return httpx.Response(200, content=content, headers={"x-model-version": "1"})


@pytest.mark.parametrize("z_mean", [[[1e39, 0]], [[float("nan"), 0]], [[None, 0]], [["x", 0]], [[0], [0, 1]]])
def test_numbers_that_are_none_are_told(z_mean):
    body = json.dumps({"model_version": 1, "z_mean": z_mean, "z_log_var": [[0, 0]]})
    with pytest.raises(BadAnswer):
        answers.encoding(answer(body.encode()), 1)


@pytest.mark.parametrize(
    "body",
    [
        WHOLE[:-1],
        WHOLE + b"x",
        WHOLE[:20],
        WHOLE.replace(b"(1, 28, 28)", b"(1, 28, 99)"),
        WHOLE.replace(b"(1, 28, 28), } ", b"(9999999, 9, 9)}"),
        WHOLE.replace(b"(1, 28, 28)", b"(-1, 28, 2)"),
        WHOLE.replace(b"|u1", b"|O8"),
        WHOLE.replace(b"|u1", b"<f4"),
        WHOLE.replace(b"False", b"True "),
        WHOLE.replace(b"{", b"("),
        WHOLE.replace(b"{", b"["),
        b"\x93NUMPY\x03\x00" + WHOLE[8:],
        b"\x93NUMPY\x01\x00\xff\xff" + b"[" * 65535,
        npy.dumps(np.zeros((1, 784), np.uint8)),
        npy.dumps(np.zeros((2, 28, 28), np.uint8)),
        b"PK\x03\x04" + b"x" * 40,
    ],
    ids=lambda body: f"{len(body)} bytes",
)
def test_a_damaged_npy_is_told(body):
    assert body != WHOLE
    with pytest.raises(BadAnswer):
        answers.generated(answer(body), Z)


@given(st.integers(0, HEADER - 1), st.integers(0, 255))
def test_whatever_byte_of_an_npy_header_is_damaged_at_most_a_bad_answer_comes_of_it(place, byte):
    body = bytearray(WHOLE)
    body[place] = byte
    with contextlib.suppress(BadAnswer):
        assert len(answers.generated(answer(bytes(body)), Z)) == 1


@pytest.mark.parametrize(
    "picture",
    [
        bomb(),
        file_of(Image.new("L", (2000, 2000))),
        file_of(Image.new("RGB", (28, 28))),
        file_of(Image.new("L", (2, 2)), "BMP"),
        file_of(Image.new("L", (28, 28)))[:48],
        b"x",
    ],
    ids=["bomb", "large", "coloured", "bmp", "cut", "none"],
)
def test_a_picture_that_is_no_digit_is_told(picture):
    body = {"model_version": 1, "z": [[0, 0]], "images": [base64.b64encode(picture).decode()]}
    with pytest.raises(BadAnswer):
        answers.sampled(answer(json.dumps(body).encode()), 1)
