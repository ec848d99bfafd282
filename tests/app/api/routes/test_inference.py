from __future__ import annotations

import asyncio
import base64
import json
import threading

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.api.formats import npy
from app.imaging.decode import decode, open_picture
from app.imaging.png import encode_png
from app.imaging.sheets import contact_sheet, to_uint8
from tests.support.fakes import paint
from tests.support.pictures import file_of, on_paper

PNG = {"content-type": "image/png"}
NPY = {"content-type": "application/x-npy"}


def halves(digit):
    """What the fake encoder makes of a digit."""
    share = digit / 255
    return pytest.approx([share[:, :14].mean(), share[:, 14:].mean()], abs=1e-5)


def pixels(png: bytes) -> np.ndarray:
    return np.rint(decode(open_picture(png, 10**7)) * 255).astype(np.uint8)


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


async def test_64_clients_each_get_their_own_digits(client, engine):
    async def caller(n):
        for i in range(10):
            z = [(n - 32) / 8, (i - 5) / 2]
            response = await client.post("/generate", json={"z": z})
            assert np.array_equal(pixels(response.content), to_uint8(paint(np.array([z])))[0])

    await asyncio.gather(*(caller(n) for n in range(64)))
    assert len(engine.batches) < 640  # some were batched


async def test_a_request_that_breaks_the_model_disturbs_nobody_else(client, engine):
    engine.gate = threading.Event()
    tasks = [asyncio.create_task(client.post("/generate", json={"z": z})) for z in ([0, 0], [1, 1], [666, 0], [2, 2])]
    await asyncio.sleep(0.05)
    engine.gate.set()
    assert [response.status_code for response in await asyncio.gather(*tasks)] == [200, 200, 500, 200]


async def test_a_model_that_is_not_quick_runs_in_the_batchers_thread(client, engine, digit):
    await client.post("/generate", json={"z": [0, 0]})
    await client.post("/encode", content=file_of(digit), headers=PNG)
    assert {name.split("_")[0] for name in engine.threads} == {"inference"}


numbers = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
bodies = st.recursive(
    numbers,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["z", "sample", "seed", "images", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(document=bodies, route=st.sampled_from(["/encode", "/generate", "/reconstruct"]))
async def test_any_json_is_answered_or_refused_with_a_problem(client, document, route):
    body = json.dumps(document)
    response = await client.post(route, content=body, headers={"content-type": "application/json"})
    assert response.status_code in (200, 400, 413, 422)
    if response.status_code != 200:
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8"])
@pytest.mark.parametrize("route", ["/encode", "/generate"])
async def test_any_bits_that_are_no_number_are_refused(client, kind, route):
    # A signalling NaN, of which NumPy warns when it is converted.
    bits = {"<f2": 0x7D00, "<f4": 0x7FA00000, "<f8": 0x7FF4000000000000}[kind]
    shape = (1, 28, 28) if route == "/encode" else (1, 2)
    array = np.full(shape, bits, f"<u{kind[-1]}").view(kind)
    response = await client.post(route, content=npy.dumps(array), headers=NPY)
    assert response.status_code == 422, response.text


@pytest.mark.parametrize("left", [0.3, 0.6, 0.95])
async def test_a_form_that_was_cut_short_is_refused_and_not_taken_for_a_shorter_one(client, digit, left):
    whole = httpx.Request("POST", "http://x", files=[("image", (f"{n}.png", encode_png(digit))) for n in range(3)])
    body = whole.read()
    headers = {"content-type": whole.headers["content-type"]}
    assert len((await client.post("/encode", content=body + b"\r\n", headers=headers)).json()["z_mean"]) == 3
    answer = await client.post("/encode", content=body[: int(left * len(body))], headers=headers)
    assert answer.status_code == 400
    assert "cut short" in answer.json()["detail"]
