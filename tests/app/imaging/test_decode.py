import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.errors import ImageTooLarge, InvalidImage
from app.imaging.decode import decode, open_picture
from tests.support.pictures import bomb, file_of


def read(data: bytes, max_pixels: int = 2_000_000) -> np.ndarray:
    return decode(open_picture(data, max_pixels))


def test_an_8_bit_grey_png_comes_back_as_its_bytes_over_255(digit):
    assert np.array_equal(read(file_of(digit)), digit.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_every_format_on_the_list_is_read(kind, digit):
    assert np.abs(read(file_of(Image.fromarray(digit).convert("RGB"), kind)) - digit / 255).mean() < 0.02


def test_a_format_that_is_not_on_the_list_is_refused(digit):
    with pytest.raises(InvalidImage, match="PNG, JPEG, WebP or BMP"):
        read(file_of(digit, "TIFF"))


def test_16_bit_grey_is_scaled_not_clipped(digit):
    deep = (digit.astype(np.uint16) * 257) // 2
    assert np.abs(read(file_of(deep)) - deep / 65535).max() < 1e-6


def test_colour_becomes_luminance():
    red = Image.new("RGB", (28, 28), (255, 0, 0))
    assert read(file_of(red)) == pytest.approx(76 / 255, abs=1e-6)


def test_a_palette_png_is_read_by_its_colours(digit):
    assert np.abs(read(file_of(Image.fromarray(digit).convert("P"))) - digit / 255).max() < 0.01


@pytest.mark.parametrize(("ink", "paper"), [(0, 1.0), (255, 0.0)])
def test_transparency_is_laid_on_the_background_that_shows_the_ink(ink, paper, digit):
    drawn = np.zeros((28, 28, 4), np.uint8)
    drawn[..., :3] = ink
    drawn[..., 3] = digit
    grey = read(file_of(drawn))
    assert grey[0, 0] == pytest.approx(paper)
    assert grey[np.unravel_index(digit.argmax(), digit.shape)] == pytest.approx(abs(paper - 250 / 255), abs=0.01)


def test_a_palette_with_transparency_is_flattened_too(digit):
    picture = Image.fromarray(np.where(digit > 0, 0, 255).astype(np.uint8)).convert("P")
    grey = read(file_of(picture, transparency=255))
    assert grey.shape == (28, 28)
    assert grey[0, 0] > grey[np.unravel_index(digit.argmax(), digit.shape)]


def test_the_exif_orientation_is_applied(digit):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown, the picture is turned a quarter clockwise
    turned = file_of(np.rot90(digit), exif=exif)
    assert np.array_equal(read(turned), read(file_of(digit)))


def test_a_large_picture_comes_back_reduced():
    assert max(read(file_of(np.zeros((1000, 1800), np.uint8))).shape) == 1800
    assert read(file_of(np.zeros((1600, 1700), np.uint8)), 10**7).shape == (800, 850)


def test_an_animation_is_refused(digit):
    frames = [Image.fromarray(digit), Image.fromarray(255 - digit)]
    for kind in ("PNG", "WEBP"):
        with pytest.raises(InvalidImage, match="animated"):
            read(file_of(frames[0], kind, save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_truncated_picture_is_refused(kind):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    whole = file_of(noise, kind)
    with pytest.raises(InvalidImage):
        read(whole[: len(whole) // 2])


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded():
    with pytest.raises(ImageTooLarge):
        read(bomb(20_000))
    with pytest.raises(ImageTooLarge, match="at most 2,000,000"):
        read(bomb(1_500))


def test_text_and_nothing_are_refused():
    for data in (b"this is no picture", b""):
        with pytest.raises(InvalidImage):
            read(data)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_picture_or_an_error_of_ours(data):
    try:
        grey = read(data)
    except (InvalidImage, ImageTooLarge):
        return
    assert grey.dtype == np.float32


@given(st.data())
def test_a_damaged_png_is_a_picture_or_an_error_of_ours(data):
    whole = bytearray(file_of(np.arange(784, dtype=np.uint8).reshape(28, 28)))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        grey = read(bytes(whole))
    except (InvalidImage, ImageTooLarge):
        return
    assert 0 <= grey.min() <= grey.max() <= 1
