import base64

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from app.api.formats import npy
from app.api.formats.images import images_from_array
from app.errors import InvalidImage
from app.imaging.png import encode_png
from tests.app.api.test_problems import PNG, check_problem, digit, whole
from tests.support.pictures import file_of


@pytest.mark.parametrize("left", [0.3, 0.6, 0.95])
async def test_a_form_that_was_cut_short_is_refused_and_not_taken_for_a_shorter_one(client, digit, left):
    whole = httpx.Request("POST", "http://x", files=[("image", (f"{n}.png", encode_png(digit))) for n in range(3)])
    body = whole.read()
    headers = {"content-type": whole.headers["content-type"]}
    assert len((await client.post("/encode", content=body + b"\r\n", headers=headers)).json()["z_mean"]) == 3
    answer = await client.post("/encode", content=body[: int(left * len(body))], headers=headers)
    assert answer.status_code == 400
    assert "cut short" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("parts", "code", "words"),
    [
        ([("photo", ("a.png", whole, "image/png"))], "invalid-parameter", "'image'"),
        ([("image", (None, "text"))], "invalid-image", "not a file"),
        ([("image", ("a.png", b"", "image/png"))], "invalid-image", "no bytes"),
        ([("image", ("a.png", b"text", "image/png"))], "invalid-image", "PNG, JPEG"),
        ([("image", ("a.png", file_of(digit), "image/png"))] * 257, "invalid-image", "256"),
    ],
)
async def test_a_bad_form_is_a_problem(client, parts, code, words):
    check_problem(await client.post("/encode", files=parts), 422, code, words)


async def test_too_many_pictures_are_told_alike_however_they_come(client):
    document = {"images": [base64.b64encode(file_of(digit)).decode()] * 257}
    check_problem(await client.post("/encode", json=document), 422, "invalid-image", "256")


async def test_a_16_bit_a_palette_and_an_rgba_picture_are_no_bad_input(client):
    for picture in (
        Image.fromarray(digit.astype(np.uint16) * 257),
        Image.fromarray(digit).convert("P"),
        Image.merge("RGBA", [Image.fromarray(digit)] * 4),
    ):
        response = await client.post("/encode", content=file_of(picture), headers=PNG)
        assert response.status_code == 200, response.text


SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6)


@given(hnp.arrays(np.uint8, SHAPES))
def test_grey_levels_are_divided_by_255(levels):
    images = images_from_array(npy.loads(npy.dumps(levels)))
    assert (images.dtype, images.shape) == (np.float32, levels.shape)
    assert np.array_equal(np.rint(images * 255), levels)
    assert np.array_equal(images_from_array(levels[0])[0], images[0])  # a single one


@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]), SHAPES, elements={"min_value": -1, "max_value": 2}
    )
)
def test_floats_are_taken_as_they_are_or_refused(array):
    if array.min() >= 0 and array.max() <= 1:
        assert np.array_equal(images_from_array(array), array.astype(np.float32))
    else:
        with pytest.raises(InvalidImage, match=r"0 \.\. 1"):
            images_from_array(array)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(784, np.uint8), "shape"),
        (np.zeros((1, 28, 28, 1), np.uint8), "shape"),
        (np.zeros((1, 28, 28), bool), "uint8"),
        (np.zeros((1, 28, 28), np.int64), "uint8"),
        (np.full((1, 2, 2), np.nan, np.float32), "0 .. 1"),
    ],
)
def test_what_is_no_array_of_images_is_refused(array, words):
    with pytest.raises(InvalidImage, match=words):
        images_from_array(array)
