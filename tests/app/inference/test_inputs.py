import numpy as np
import pytest
from PIL import Image

from app.errors import ImageTooLarge, InvalidImage
from app.imaging.png import encode_png
from app.imaging.preparation import AUTO, Preparation
from app.inference.executor import BoundedExecutor
from app.inference.inputs import QUICK_FILES, ImageLoader
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
    executor = BoundedExecutor()
    yield ImageLoader(Settings.model_copy(settings, update={"max_rows": 10}), executor)
    executor.close()


def test_a_picture_of_the_models_size_is_its_grey_levels(loader, engine, digit):
    for file in (encode_png(digit), file_of(digit), encode_png(255 - digit)):
        assert np.array_equal(loader.levels(engine, file, "auto"), digit[np.newaxis])
    assert np.array_equal(loader.levels(engine, encode_png(digit), "true"), 255 - digit[np.newaxis])
    assert np.array_equal(loader.levels(engine, encode_png(255 - digit), "false"), 255 - digit[np.newaxis])


def test_what_needs_preparing_has_no_levels(loader, engine, digit):
    assert loader.levels(engine, encode_png(digit[:20]), "auto") is None
    assert loader.levels(engine, np.zeros((1, *SHAPE), np.float32), "auto") is None
    with pytest.raises(InvalidImage):
        loader.levels(engine, b"no picture", "auto")
    with pytest.raises(ImageTooLarge):
        loader.levels(engine, file_of(Image.new("L", (1500, 1500))), "auto")


@pytest.mark.parametrize("times", [1, QUICK_FILES])  # the latter in a thread
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
