import asyncio
import threading

import numpy as np
import pytest

from app.imaging.manifold import grid
from app.imaging.sheets import to_uint8
from tests.support.fakes import paint
from tests.support.pictures import pixels


def notebooks_loop(n, low, high) -> np.ndarray:
    """The figure as the notebook fills it: tile by tile."""
    figure = np.zeros((28 * n, 28 * n), np.uint8)
    quantiles = grid(n, low, high)
    for i, yi in enumerate(quantiles):
        for j, xi in enumerate(quantiles):
            (tile,) = to_uint8(paint(np.array([[xi, yi]])))
            figure[i * 28 : (i + 1) * 28, j * 28 : (j + 1) * 28] = tile
    return figure


async def test_the_manifold_is_the_notebooks_figure(client):
    response = await client.get("/manifold.png")
    assert response.headers["content-type"] == "image/png"
    assert np.array_equal(pixels(response.content), notebooks_loop(15, 0.05, 0.95))


async def test_the_manifold_takes_its_part_of_the_plane_from_the_query(client):
    response = await client.get("/manifold.png", params={"n": 4, "scale": 2, "low": 0.2, "high": 0.6})
    assert np.array_equal(pixels(response.content), notebooks_loop(4, 0.2, 0.6).repeat(2, 0).repeat(2, 1))
    swapped = await client.get("/manifold.png", params={"n": 4, "low": 0.2, "high": 0.6, "dims": "1,0"})
    tiles = notebooks_loop(4, 0.2, 0.6).reshape(4, 28, 4, 28).transpose(2, 1, 0, 3).reshape(112, 112)
    assert np.array_equal(pixels(swapped.content), tiles)


async def test_equal_manifolds_are_drawn_once(client, engine):
    first = await client.get("/manifold.png")
    calls = len(engine.batches)
    second = await client.get("/manifold.png", params={"n": 15})
    assert second.content == first.content
    assert len(engine.batches) == calls


@pytest.mark.parametrize("path", ["/manifold.png", "/latent.png"])
async def test_a_picture_that_the_client_has_is_not_sent_again(path, client):
    first = await client.get(path)
    for tag in (first.headers["etag"], f'"other", W/{first.headers["etag"]}', "*"):
        again = await client.get(path, headers={"if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert (await client.get(path, headers={"if-none-match": '"other"'})).status_code == 200


async def test_other_parameters_have_another_etag(client):
    tags = {(await client.get("/manifold.png", params={"n": n})).headers["etag"] for n in (1, 2, 3)}
    assert len(tags) == 3


async def test_head_says_what_get_would(client):
    get, head = [await client.request(method, "/manifold.png") for method in ("GET", "HEAD")]
    assert head.headers["etag"] == get.headers["etag"]


async def test_the_latent_plot_is_the_reports(client, store):
    response = await client.get("/latent.png")
    assert response.headers["content-type"] == "image/png"
    assert response.content == (store / "reports" / "1" / "latent.png").read_bytes()


@pytest.mark.parametrize(
    "query",
    ["n=0", "n=10000", "n=x", "n=-1", "scale=0", "scale=99", "low=0", "high=1", "low=0.9&high=0.1", "low=nan",
     "dims=0,2", "dims=0,0", "dims=0", "dims=-1,0", "size=3", "n=64&scale=16"],
)  # fmt: skip
async def test_a_bad_parameter_is_refused(query, client, engine):
    response = await client.get(f"/manifold.png?{query}")
    assert response.status_code == 422
    assert response.json()["code"] == "invalid-parameter"


async def test_what_is_kept_does_not_grow_with_the_ways_to_ask_for_it(client):
    service = client._transport.app.service
    for zeros in range(0, 400, 40):
        assert (await client.get(f"/manifold.png?n={'0' * zeros}2")).status_code == 200
    assert len(service.model.manifolds) == 1


async def test_many_who_ask_at_once_get_one_drawing(client, engine):
    engine.gate = threading.Event()
    asked = [asyncio.create_task(client.get("/manifold.png?n=3")) for _ in range(20)]
    other = asyncio.create_task(client.get("/manifold.png?n=4"))
    await asyncio.sleep(0.1)
    engine.gate.set()
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert (await other).status_code == 200
    assert sum(engine.batches) == 9 + 16


async def test_who_leaves_takes_no_drawing_from_the_others(client, engine):
    engine.gate = threading.Event()
    first, second = (asyncio.create_task(client.get("/manifold.png?n=3")) for _ in range(2))
    await asyncio.sleep(0.1)
    first.cancel()
    await asyncio.sleep(0.05)
    engine.gate.set()
    assert (await second).status_code == 200
    assert engine.batches == [9]


async def test_a_drawing_that_failed_is_begun_anew(client, engine, monkeypatch):
    def broken(z):
        raise RuntimeError

    with monkeypatch.context() as while_broken:
        while_broken.setattr(engine, "generate_uint8", broken)
        assert (await client.get("/manifold.png?n=3")).status_code == 500
    assert (await client.get("/manifold.png?n=3")).status_code == 200
