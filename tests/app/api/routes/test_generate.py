import base64

import numpy as np

from app.api.formats import npy
from app.imaging.sheets import contact_sheet, to_uint8
from tests.support.fakes import paint
from tests.support.pictures import pixels

NPY = {"content-type": "application/x-npy"}


async def test_generate_paints_one_digit_as_a_png_by_default(client):
    response = await client.post("/generate", json={"z": [1, -2]})
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-model-version"] == "1"
    assert np.array_equal(pixels(response.content), to_uint8(paint(np.array([[1, -2]])))[0])


async def test_generate_lays_several_digits_on_a_sheet(client):
    z = [[i, -i] for i in range(5)]
    response = await client.post("/generate", json={"z": z}, params={"columns": 2, "scale": 3})
    expected = contact_sheet(to_uint8(paint(np.array(z))), 2)
    assert np.array_equal(pixels(response.content), expected.repeat(3, 0).repeat(3, 1))


async def test_generate_gives_npy_and_json_on_request(client):
    z = [[0.5, 1.5], [2, -2]]
    expected = to_uint8(paint(np.array(z)))
    as_npy = await client.post("/generate", json={"z": z}, headers={"accept": "application/x-npy"})
    assert np.array_equal(npy.loads(as_npy.content), expected)
    as_json = (await client.post("/generate", json={"z": z}, headers={"accept": "application/json"})).json()
    assert as_json["model_version"] == 1
    assert as_json["z"] == z
    assert [pixels(base64.b64decode(png)).tolist() for png in as_json["images"]] == expected.tolist()


async def test_generate_reads_npy(client):
    z = np.array([[1, 2], [3, 4]], np.float64)
    response = await client.post("/generate", content=npy.dumps(z), headers={**NPY, "accept": "application/x-npy"})
    assert np.array_equal(npy.loads(response.content), to_uint8(paint(z)))


async def test_generate_draws_from_the_prior_and_repeats_for_a_seed(client):
    async def draws(**wanted):
        headers = {"accept": "application/json"}
        return (await client.post("/generate", json=wanted, headers=headers)).json()["z"]

    first = await draws(sample=400, seed=7)
    assert first == await draws(sample=400, seed=7)
    assert first != await draws(sample=400, seed=8)
    assert await draws(sample=3) != await draws(sample=3)
    z = np.array(first)
    assert z.shape == (400, 2)
    assert np.abs(z.mean(0)).max() < 0.2
    assert np.abs(z.std(0) - 1).max() < 0.2
