import base64

import numpy as np
import pytest

from app.api.formats import npy
from tests.support.pictures import file_of, on_paper

PNG = {"content-type": "image/png"}


NPY = {"content-type": "application/x-npy"}


def halves(digit):
    """What the fake encoder makes of a digit."""
    share = digit / 255
    return pytest.approx([share[:, :14].mean(), share[:, 14:].mean()], abs=1e-5)


async def z_of(client, **request):
    response = await client.post("/encode", **request)
    assert response.status_code == 200, response.text
    document = response.json()
    assert document["model_version"] == 1
    assert response.headers["x-model-version"] == "1"
    assert document["z_log_var"] == [[-1, -1]] * len(document["z_mean"])
    return document["z_mean"]


@pytest.mark.parametrize("kind", ["png", "webp", "bmp"])
async def test_encode_reads_a_raw_picture(kind, client, digit):
    options = {"lossless": True} if kind == "webp" else {}
    body = file_of(digit, kind.upper(), **options)
    assert await z_of(client, content=body, headers={"content-type": f"image/{kind}"}) == [halves(digit)]


async def test_encode_reads_one_or_more_form_parts_in_order(client, digit):
    parts = [("image", ("a.png", file_of(each), "image/png")) for each in (digit, digit[:, ::-1].copy())]
    assert await z_of(client, files=parts) == [halves(digit), halves(digit[:, ::-1])]


async def test_encode_reads_json_of_files_and_of_rows(client, digit):
    encoded = base64.b64encode(file_of(digit)).decode()
    body = {"images": [encoded, f"data:image/png;base64,{encoded}", digit.tolist(), (digit / 255).tolist()]}
    assert await z_of(client, json=body) == [halves(digit)] * 4


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
async def test_encode_reads_npy(dtype, client, digit):
    batch = np.stack([digit, digit.T])
    array = batch if dtype == np.uint8 else (batch / 255).astype(dtype)
    found = await z_of(client, content=npy.dumps(array), headers=NPY)
    expected = array.astype(np.float64) * (1 if dtype == np.uint8 else 255)
    assert found == [halves(each) for each in expected]


async def test_encode_makes_a_photographed_digit_the_same_as_the_digit(client, digit):
    (found,) = await z_of(
        client, content=file_of(on_paper(digit), "JPEG", quality=85), headers={"content-type": "image/jpeg"}
    )
    (exact,) = await z_of(client, content=file_of(digit), headers=PNG)
    assert found == pytest.approx(exact, abs=0.03)


async def test_encode_takes_its_options_from_the_query(client, digit):
    white = file_of(255 - digit)
    assert await z_of(client, content=white, headers=PNG) == [halves(digit)]
    assert await z_of(client, content=white, headers=PNG, params={"invert": "false"}) == [halves(255 - digit)]
    assert await z_of(client, content=white, headers=PNG, params={"invert": "true"}) == [halves(digit)]


async def test_encode_gives_z_mean_as_npy(client, digit):
    response = await client.post("/encode", content=file_of(digit), headers={**PNG, "accept": "application/x-npy"})
    assert response.headers["content-type"] == "application/x-npy"
    z_mean = npy.loads(response.content)
    assert (z_mean.dtype, z_mean.shape) == (np.float32, (1, 2))
    assert z_mean[0].tolist() == halves(digit)
