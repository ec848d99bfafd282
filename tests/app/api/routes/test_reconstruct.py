import base64

import numpy as np
import pytest

from app.imaging.sheets import to_uint8
from tests.support.fakes import paint
from tests.support.pictures import file_of, pixels

PNG = {"content-type": "image/png"}


async def test_reconstruct_shows_input_and_reconstruction_side_by_side(client, digit):
    files = [("image", ("a.png", file_of(digit), "image/png"))] * 2
    response = await client.post("/reconstruct", files=files)
    sheet = pixels(response.content)
    assert sheet.shape == (56, 56)
    assert np.array_equal(sheet[:28, :28], digit)
    means = [[(digit[:, :14] / 255).mean(), (digit[:, 14:] / 255).mean()]]
    assert np.array_equal(sheet[28:, 28:], to_uint8(paint(np.array(means)))[0])


async def test_reconstruct_gives_the_loss_and_its_parts(client, digit):
    response = await client.post("/reconstruct", content=file_of(digit), headers={**PNG, "accept": "application/json"})
    document = response.json()
    x, mean = digit / 255, np.array(document["z_mean"])
    p = paint(mean)[0].astype(np.float64)
    assert document["xent"] == [pytest.approx(-(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(), rel=1e-5)]
    assert document["kl"] == [pytest.approx(0.5 * (np.exp(-1) * 2 + (mean**2).sum() + 2 - 2), rel=1e-5)]
    assert document["loss"] == [pytest.approx(document["xent"][0] + document["kl"][0])]
    assert pixels(base64.b64decode(document["reconstruction"][0])).shape == (28, 28)
