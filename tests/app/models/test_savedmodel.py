"""The engine on the shipped version."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.errors import EngineError
from app.imaging.decode import decode_grey, open_picture
from app.imaging.png import encode_png, is_minimal_png
from app.models.savedmodel import SavedModelEngine
from app.models.store import ModelStore
from tests.support.paths import ROOT
from tests.support.pictures import file_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine() -> Iterator[SavedModelEngine]:
    engine = SavedModelEngine(ModelStore(ROOT / "model_store").open())
    yield engine
    engine.close()


def test_arrays_of_another_type_or_layout_give_the_same(engine):
    z = np.random.default_rng(0).standard_normal((6, 2))
    (expected,) = engine.generate_uint8(z.astype(np.float32))
    for same in (z, z.tolist(), np.repeat(z, 2, 0)[::2], np.asfortranarray(z)):
        (found,) = engine.generate_uint8(same)
        assert np.abs(found.astype(int) - expected).max() <= 1


def test_an_array_of_another_shape_is_an_error(engine):
    with pytest.raises(EngineError):
        engine.generate_uint8(np.zeros((1, 3), np.float32))


def test_levels_encode_as_their_255th_part(engine):
    levels = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    for found, expected in zip(engine.encode_uint8(levels), engine.encode(levels / np.float32(255)), strict=True):
        assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"optimize": True}])
def test_a_bare_png_is_read_as_pillow_reads_it(engine, options):
    levels = np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)
    png = file_of(levels, **options)
    assert is_minimal_png(png, (28, 28))
    assert np.array_equal(engine.decode_png(png), levels)
    assert np.array_equal(decode_grey(open_picture(encode_png(levels), 784)), levels)


def test_a_damaged_png_is_left_to_pillow(engine):
    png = bytearray(file_of(np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)))
    png[60:80] = bytes(20)
    assert engine.decode_png(bytes(png)) is None


def test_quick_batches_are_found_while_warming_up(engine):
    engine.warm_up()
    assert engine.max_inline_batch >= 0


def test_calls_from_several_threads_at_once_give_what_one_thread_gets(engine):
    random = np.random.default_rng(2)
    batches = [random.standard_normal((n, 2), np.float32) for n in (1, 3, 64, 300) * 8]
    expected = [engine.generate_uint8(z)[0] for z in batches]
    pictures = [levels.astype(np.float32) / np.float32(255) for levels in expected]
    means = [engine.encode(images).z_mean for images in pictures]
    with ThreadPoolExecutor(4) as pool:
        generated = pool.map(lambda z: engine.generate_uint8(z)[0], batches)
        encoded = pool.map(lambda images: engine.encode(images).z_mean, pictures)
        assert all(map(np.array_equal, generated, expected))
        assert all(map(np.array_equal, encoded, means))


def test_the_engine_refuses_a_model_without_its_signatures(tmp_path):
    import tensorflow as tf

    from app.errors import CorruptVersion
    from app.models.savedmodel import SavedModelEngine
    from tests.support.fake_store import publish_fake

    publish_fake(tmp_path)
    with pytest.raises(CorruptVersion, match="does not load"):
        SavedModelEngine(ModelStore(tmp_path).open())
    for part in ("encoder", "generator"):
        tf.saved_model.save(tf.Module(), str(tmp_path / part / "1"))
    with pytest.raises(CorruptVersion, match="signature"):
        SavedModelEngine(ModelStore(tmp_path).open())
