import asyncio
import threading
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from app.errors import InvalidImage
from app.imaging.decode import decode, open_picture
from app.imaging.png import encode_png
from app.imaging.preparation import AUTO, Preparation
from app.inference import inputs
from app.inference.inputs import QUICK_ARRAYS, ImageLoader
from app.settings import Settings
from tests.app.api.test_problems import check_problem
from tests.support.fakes import connected
from tests.support.pictures import file_of, on_paper

GREY = Image.new("L", (40, 40), 90)
SHAPE = (28, 28)


async def test_the_pictures_of_a_request_share_a_bound(settings, engine):
    parts = [("image", ("a.png", file_of(GREY, "PNG"), "image/png"))]
    async with connected(settings.model_copy(update={"max_request_pixels": 2 * 1600}), engine) as client:
        check_problem(await client.post("/encode", files=parts * 3), 413, "image-too-large", "together")
        few = await client.post("/encode?fit=none", files=parts * 2)
        assert few.status_code == 200, few.text


@pytest.fixture
def loader(settings):
    """A loader that takes ten rows, and pictures of at most 2,000,000 pixels."""
    loader = ImageLoader(Settings.model_copy(settings, update={"max_rows": 10}))
    yield loader
    loader.close()


def test_a_picture_of_the_models_size_is_its_grey_levels(loader, engine, digit):
    for file in (encode_png(digit), file_of(digit), encode_png(255 - digit)):
        assert np.array_equal(loader.levels(engine, file, "auto"), digit[np.newaxis])
    assert np.array_equal(loader.levels(engine, encode_png(digit), "true"), 255 - digit[np.newaxis])
    assert np.array_equal(loader.levels(engine, encode_png(255 - digit), "false"), 255 - digit[np.newaxis])


def test_what_needs_preparing_has_no_levels(loader, engine, digit):
    assert loader.levels(engine, encode_png(digit[:20]), "auto") is None
    assert loader.levels(engine, np.zeros((1, *SHAPE), np.float32), "auto") is None
    for anything_else in (b"no picture", file_of(Image.new("L", (1500, 1500))), file_of(digit, "BMP")):
        assert loader.levels(engine, anything_else, "auto") is None  # it was not opened: that is for a thread


async def test_no_file_but_a_bare_png_is_opened_on_the_event_loop(loader, digit, monkeypatch):
    opened_in = []

    def opening(data, max_pixels):
        opened_in.append(threading.current_thread())
        return open_picture(data, max_pixels)

    monkeypatch.setattr(inputs, "open_picture", opening)
    for file in (file_of(digit, "BMP"), file_of(on_paper(digit), "JPEG"), encode_png(digit)[:-20]):
        with suppress(InvalidImage):
            await loader.batch(SHAPE, [file], AUTO)
    assert len(opened_in) == 3
    assert threading.main_thread() not in opened_in


async def test_small_pictures_do_not_wait_behind_large_ones(loader, digit, monkeypatch):
    gate = threading.Event()

    def decoding(picture):
        if picture.width > 100:
            gate.wait(10)
        return decode(picture)

    monkeypatch.setattr(inputs, "decode", decoding)
    monkeypatch.setattr(inputs, "LARGE_PIXELS", 10_000)
    large = [asyncio.create_task(loader.batch(SHAPE, [file_of(on_paper(digit))], AUTO)) for _ in range(4)]
    await asyncio.sleep(0.05)
    for _ in range(3):
        await asyncio.wait_for(loader.batch(SHAPE, [file_of(digit, "BMP")], AUTO), 5)
    assert not any(task.done() for task in large)
    gate.set()
    assert [len(batch) for batch in await asyncio.gather(*large)] == [1] * 4


async def test_pictures_that_nobody_waits_for_are_left(loader, digit, monkeypatch):
    decoded, gate = [], threading.Event()

    def decoding(picture):
        decoded.append(picture)
        gate.wait(10)
        return decode(picture)

    monkeypatch.setattr(inputs, "decode", decoding)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(loader.batch(SHAPE, [file_of(digit, "BMP")] * 5, AUTO), 0.1)
    gate.set()
    await loader.batch(SHAPE, [file_of(digit, "BMP")], AUTO)
    assert len(decoded) == 2


@pytest.mark.parametrize("times", [1, QUICK_ARRAYS])
async def test_files_and_arrays_become_one_batch_in_order(loader, digit, times):
    share = digit[np.newaxis] / np.float32(255)
    batch = await loader.batch(SHAPE, [encode_png(digit), share[:, ::-1]] * times, AUTO)
    assert (batch.dtype, batch.shape) == (np.float32, (2 * times, *SHAPE))
    assert batch == pytest.approx(np.concatenate([share, share[:, ::-1]] * times), abs=1e-6)


async def test_a_photograph_is_prepared_unless_it_shall_not_be(loader, digit):
    photo = file_of(on_paper(digit), "JPEG", quality=95)
    (prepared,) = await loader.batch(SHAPE, [photo], AUTO)
    (whole,) = await loader.batch(SHAPE, [photo], Preparation(fit="none"))
    assert np.abs(prepared - digit / 255).mean() < 0.05 < np.abs(whole - digit / 255).mean()


async def test_pixels_are_inverted_on_request_alone(loader):
    bright = np.full((1, *SHAPE), 0.75, np.float32)
    for how, level in ((AUTO, 0.75), (Preparation(invert="false"), 0.75), (Preparation(invert="true"), 0.25)):
        assert (await loader.batch(SHAPE, [bright], how) == level).all()


@pytest.mark.parametrize("shape", [(1, 27, 28), (0, 28, 28), (11, 28, 28)])
async def test_pixels_of_another_shape_or_too_many_rows_are_refused(loader, shape):
    with pytest.raises(InvalidImage):
        await loader.batch(SHAPE, [np.zeros(shape, np.float32)], AUTO)
