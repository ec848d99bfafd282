import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.client import InvalidInput, Sending
from app.client.inputs import batches, count, latents
from tests.support.pictures import file_of


def cut(images, **bounds):
    return list(batches(images, Sending(**bounds)))


def test_every_kind_of_image_becomes_a_file_or_pixels(digit, tmp_path):
    png = file_of(digit)
    (tmp_path / "digit.png").write_bytes(png)
    path = tmp_path / "digit.png"
    given = [png, path, str(path), bytearray(png), Image.fromarray(digit), digit, digit[np.newaxis, :, :, np.newaxis]]
    files, pixels = cut(given)
    assert files.content[:4] == (png,) * 4
    assert np.array_equal(np.array(Image.open(io.BytesIO(files.content[4]))), digit)
    assert (pixels.start, pixels.content.shape, pixels.content.dtype) == (5, (2, 28, 28), np.uint8)


@pytest.mark.parametrize("one", ["path", b"bytes", Path("path"), np.zeros((28, 28)), Image.new("L", (2, 2))])
def test_one_image_need_not_be_in_a_list(one, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("path").write_bytes(b"a picture")
    assert count(one) == 1
    assert [len(batch) for batch in cut(one)] == [1]


def test_an_array_is_cut_by_images_and_by_bytes_and_keeps_its_order():
    levels = np.arange(10, dtype=np.uint8).repeat(784).reshape(10, 28, 28)
    by_images = cut(levels, most_images=4)
    assert [(batch.start, len(batch)) for batch in by_images] == [(0, 4), (4, 4), (8, 2)]
    assert np.array_equal(np.concatenate([batch.content for batch in by_images]), levels)
    assert [len(batch) for batch in cut(levels, most_bytes=2 * 784)] == [2] * 5
    assert [len(batch) for batch in cut(levels, most_bytes=1)] == [1] * 10


def test_files_are_cut_by_images_and_by_bytes():
    assert [len(batch) for batch in cut([b"x" * 10] * 5, most_images=2)] == [2, 2, 1]
    assert [len(batch) for batch in cut([b"x" * 10, b"x" * 95, b"x" * 4], most_bytes=100)] == [1, 2]


def test_pixels_of_another_type_or_shape_go_in_another_batch(digit):
    given = [digit, digit, digit / 255, b"file", np.zeros((8, 8), np.uint8)]
    assert [(batch.start, len(batch)) for batch in cut(given)] == [(0, 2), (2, 1), (3, 1), (4, 1)]
    assert cut(digit / 255)[0].content.dtype == np.float32


def test_files_are_read_only_when_their_batch_is_made(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    paths[0].write_bytes(b"first")
    paths[1].write_bytes(b"second")
    cutting = batches(paths, Sending(most_images=1))
    assert next(cutting).content == (b"first",)
    with pytest.raises(InvalidInput, match=r"2\.png cannot be read: No such file"):
        list(cutting)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "No images"),
        (np.zeros((0, 28, 28), np.uint8), "got \\(0, 28, 28\\)"),
        (np.zeros(784, np.uint8), "got \\(784,\\)"),
        (np.zeros((28, 28), np.int64), "got int64"),
        (np.full((28, 28), 255.0), "for 0 .. 255 give uint8"),
        (np.full((28, 28), np.nan), "values in 0 .. 1"),
        (7, "got int"),
        ([[1, 2]], "got list"),
        ("no such file", "cannot be read"),
        ("no\0path", "is no path: embedded null byte"),
        (Path("no\0path"), "is no path"),
    ],
)
def test_what_is_no_image_is_refused_before_anything_is_sent(given, words):
    with pytest.raises(InvalidInput, match=words):
        cut(given)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
def test_a_pil_image_of_any_mode_can_be_sent(mode):
    (batch,) = cut(Image.new(mode, (4, 4)))
    assert Image.open(io.BytesIO(batch.content[0])).size == (4, 4)


@pytest.mark.parametrize(
    ("values", "mode", "sent"),
    [
        (np.float32([[0, 0.25], [0.5, 1]]), "I;16", [[0, 16384], [32768, 65535]]),
        (np.float32([[0, 63.6], [128, 255]]), "L", [[0, 64], [128, 255]]),
        (np.int32([[0, 64], [128, 255]]), "L", [[0, 64], [128, 255]]),
        (np.int32([[0, 256], [1, 65535]]), "I;16", [[0, 256], [1, 65535]]),
    ],
)
def test_a_pil_image_of_32_bits_keeps_its_levels(values, mode, sent):
    (batch,) = cut(Image.fromarray(values))
    picture = Image.open(io.BytesIO(batch.content[0]))
    assert (picture.mode, np.array(picture).tolist()) == (mode, sent)


@pytest.mark.parametrize("value", [-1, 65536, np.nan, np.inf])
def test_a_pil_image_of_32_bits_that_has_no_levels_is_refused(value):
    with pytest.raises(InvalidInput, match=r"mode F has values in 0 \.\. 1"):
        cut(Image.fromarray(np.full((2, 2), value, np.float32)))


def test_a_pil_image_is_sent_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(io.BytesIO(file_of(Image.new("L", (4, 8)), "JPEG", exif=exif)))
    (batch,) = cut(turned)
    sent = Image.open(io.BytesIO(batch.content[0]))
    assert sent.size == (8, 4)
    assert not sent.getexif().get(0x0112)


def test_a_damaged_pil_image_is_told():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    half = Image.open(io.BytesIO(file_of(noise)[:2000]))
    with pytest.raises(InvalidInput, match="cannot be read"):
        cut(half)


def test_images_are_counted_where_that_costs_nothing(digit):
    assert count([digit, b"x", np.stack([digit] * 3)]) == 5
    assert count(np.stack([digit] * 3)) == 3
    assert count(iter([digit])) is None


def test_latents_are_one_vector_or_several():
    assert latents([0, 1]).shape == (1, 2)
    assert latents(np.zeros((3, 2))).dtype == np.float32
    assert latents(np.array([2**64 - 1, 1], np.uint64)).shape == (1, 2)
    enormous = (1e39, np.float64(1e300), np.longdouble("1e400"), 10**30, 10**400)
    for wrong in ([], [[1], [1, 2]], "ab", [np.inf, 0], np.zeros((1, 1, 1)), None, ["1", "2"], [True, False], [1j, 0],
                  *([each, 0] for each in enormous)):  # fmt: skip
        with pytest.raises(InvalidInput):
            latents(wrong)


def test_bounds_must_be_positive():
    with pytest.raises(InvalidInput):
        Sending(in_flight=0)
