import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from app.errors import ImageTooLarge, InvalidImage
from app.imaging.decode import HEADER_READS, MAX_SCANS, ReadLimitedFile, TooManyPieces, decode, open_picture
from app.imaging.png import encode_png, without_texts
from tests.app.api.test_problems import PNG, check_problem
from tests.support.pictures import file_of

MANY = 10**6
GREY = Image.new("L", (40, 40), 90)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_in_pieces(pieces: int) -> bytes:
    """A sound PNG whose pixels come a byte at a time."""
    whole = file_of(np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8))
    data = whole[41 : 41 + int.from_bytes(whole[33:37], "big")]
    parts = [chunk(b"IDAT", data[i : i + 1]) for i in range(min(pieces, len(data)))]
    return whole[:33] + b"".join(parts) + chunk(b"IDAT", data[pieces:]) + chunk(b"IEND")


def run_length_bitmap(runs: int) -> bytes:
    side = 4000
    sizes = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", 0, 0, 0, 54 + 1024) + sizes + bytes(1024) + b"\x01\x05" * runs


FLOODS = {
    "png": file_of(GREY)[:33] + chunk(b"aaAa") * 10_000 + file_of(GREY)[33:],
    "jpeg": file_of(GREY, "JPEG")[:2] + b"\xff\xfe\x00\x02" * MANY + file_of(GREY, "JPEG")[2:],
    "bmp": run_length_bitmap(MANY),
}


@pytest.mark.parametrize("data", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_tiny_pieces_is_refused(data):
    with pytest.raises(InvalidImage):
        decode(open_picture(data, 32_000_000))


def test_a_picture_in_many_pieces_is_read():
    assert np.array_equal(
        decode(open_picture(png_in_pieces(700), 10**6)), decode(open_picture(png_in_pieces(0), 10**6))
    )


def test_a_jpeg_with_far_too_many_scans_is_refused():
    whole = file_of(GREY, "JPEG", progressive=True)
    scan = whole[whole.rfind(b"\xff\xda") : -2]
    assert decode(open_picture(whole[:-2] + scan + whole[-2:], 10**6)).shape == (40, 40)
    with pytest.raises(InvalidImage, match="scans"):
        open_picture(whole[:-2] + scan * MAX_SCANS + whole[-2:], 10**6)


def test_reads_are_counted_and_no_more():
    file = ReadLimitedFile(b"abc", 2)
    assert (file.read(1), file.read()) == (b"a", b"bc")
    with pytest.raises(TooManyPieces):
        file.read()
    assert HEADER_READS > 100


def test_a_decoded_picture_holds_no_pixels():
    picture = open_picture(file_of(GREY), 10**6)
    decode(picture)
    with pytest.raises(ValueError, match="closed"):
        picture.getpixel((0, 0))


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16", "P"])
def test_a_large_picture_of_any_mode_is_reduced_to_the_same_grey(mode):
    levels = np.tile(np.arange(1600, dtype=np.float32) / 1599, (1600, 1))
    grey = Image.fromarray((levels * 255).astype(np.uint8))
    picture = Image.fromarray((levels * 65535).astype(np.uint16)) if mode == "I;16" else grey.convert(mode)
    found = decode(open_picture(file_of(picture), 10**7))
    assert found.shape == (800, 800)
    assert np.abs(found - levels.reshape(800, 2, 800, 2).mean((1, 3))).max() < 0.02


@pytest.mark.parametrize("size", [(500, 50_000), (50_000, 500), (2000, 16_000)])
def test_a_long_strip_is_reduced_too(size):
    grey = decode(open_picture(file_of(Image.new("L", size, 90)), 32_000_000))
    assert grey.size <= 4_000_000
    assert np.allclose(grey, 90 / 255)


@pytest.mark.parametrize("size", [(3, 301), (301, 3), (1, 101), (40, 200_000)])
def test_a_strip_is_refused_by_its_header(size):
    with pytest.raises(InvalidImage, match="one side may be 100 times"):
        open_picture(file_of(Image.new("1", size)), 32_000_000)


def test_a_webp_has_half_the_pixels():
    with pytest.raises(ImageTooLarge, match="16,000,000 are read"):
        open_picture(file_of(Image.new("L", (4100, 4000)), "WEBP"), 32_000_000)


def test_a_bmp_of_run_lengths_is_small():
    head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 0, 0, 0, 54 + 1024, 40, 5000, 500, 1, 8, 1, 0, 0, 0, 256, 0)
    with pytest.raises(InvalidImage, match="run lengths"):
        open_picture(head + bytes(1024) + b"\x00\x01", 32_000_000)


MEGABYTE = zlib.compress(b"a" * (2**20 - 1), 9)
TEXTS = {
    b"zTXt": b"k\0\0" + MEGABYTE,
    b"iTXt": b"k\0\1\0\0\0" + MEGABYTE,
    b"iCCP": b"k\0\0" + MEGABYTE,
    b"tEXt": b"k\0" + b"a" * 99,
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("behind", [False, True])
def test_texts_and_profiles_of_a_png_are_not_read(kind, behind, monkeypatch):
    def inflating(*given):
        raise AssertionError("inflated")

    monkeypatch.setattr("PIL.PngImagePlugin._safe_zlib_decompress", inflating)
    file = encode_png(np.full((28, 28), 7, np.uint8))
    at = len(file) - 12 if behind else 33
    picture = open_picture(file[:at] + chunk(kind, TEXTS[kind]) * 50 + file[at:], 1000)
    assert (decode(picture) == np.float32(7) / np.float32(255)).all()


def test_an_orientation_in_a_text_is_kept_once():
    file = encode_png(np.arange(28 * 28, dtype=np.uint8).reshape(28, 28))
    text = chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="3"/>')
    turned = decode(open_picture(file[:33] + text * 3 + file[33:], 1000))
    assert np.array_equal(turned, decode(open_picture(file, 1000))[::-1, ::-1])
    assert without_texts(file[:33] + text * 3 + file[33:]) == file[:33] + text + file[33:]


@pytest.mark.parametrize("rest", [b"", b"\0\0", b"\xff" * 9, chunk(b"IEND") * 3 + b"tail"])
def test_a_damaged_file_without_texts_is_itself(rest):
    for file in (rest, b"\x89PNG\r\n\x1a\n" + rest):
        assert without_texts(file) == file


async def test_so_do_those_of_a_serving_protocol(client, settings, digit):
    with pytest.raises(ImageTooLarge):
        open_picture(file_of(GREY), 1599)
    big = io.BytesIO(file_of(Image.new("L", (1500, 1500)))).getvalue()
    check_problem(await client.post("/encode", content=big, headers=PNG), 413, "image-too-large", "2,000,000")
