import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.imaging.decode import decode, open_picture
from app.imaging.png import encode_png, is_minimal_png
from tests.support.pictures import file_of


def test_png_encoding_is_lossless(digit):
    assert np.array_equal(np.rint(decode(open_picture(encode_png(digit), 1000)) * 255), digit)


@given(st.integers(1, 60), st.integers(1, 60))
def test_whatever_is_encoded_small_is_minimal_and_of_its_shape_only(height, width):
    png = encode_png(np.zeros((height, width), np.uint8))
    if height * width <= 1024:
        assert is_minimal_png(png, (height, width))
    assert not is_minimal_png(png, (height + 1, width))
    assert not is_minimal_png(png[:-1], (height, width))


def test_a_png_with_a_comment_in_it_is_not_minimal(digit):
    from PIL.PngImagePlugin import PngInfo

    comment = PngInfo()
    comment.add_text("Comment", "a seven")
    assert not is_minimal_png(file_of(Image.fromarray(digit), pnginfo=comment), digit.shape)
