"""Decoding of picture files (PNG, JPEG, WebP, BMP) to grey arrays.

bytes --decode--> grey picture --preparation.prepare--> digit --> the encoder
the generator --> digits --sheets.contact_sheet--> one picture --png.encode_png--> bytes
"""

import base64
import binascii
import io
import math
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from app.errors import ImageTooLarge, InvalidImage
from app.imaging.png import ORIENTATIONS, without_texts
from app.imaging.types import ByteArray, FloatArray

# Pillow registers dozens of openers; a service reads the few formats that people send it.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp")

# A photograph's header is in some fifty pieces; its data in thousands, if its writer used a small buffer.
HEADER_READS = 4096
DATA_READS = 65536
MAX_SCANS = 64  # of a progressive JPEG, each of which goes over all pixels; ten are usual
MAX_SCANNED_PIXELS = 640_000_000  # ... by all of them
MAX_ASPECT = 100  # of the sides: a strip has few pixels and many rows, each of which costs
MAX_WEBP_PIXELS = 16_000_000  # its decoder holds a picture three times, four bytes a pixel
MAX_RLE_PIXELS = 1_000_000  # of a BMP with run lengths, which is unpacked in Python
_START_OF_SCAN = b"\xff\xda"

# A digit is drawn in 20 x 20 pixels: detail beyond this many pixels a side is only time and memory.
WORKING_SIDE = 768
WORKING_PIXELS = 4_000_000  # ... and so is a strip that is narrow, but long without end

_JPEG = ("JPEG", "MPO")
_RLE = (1, 2)  # what Pillow tells of a BMP; of other formats it is a word

# Where a PNG may have an orientation or transparency.
_NOT_PLAIN = frozenset({"exif", "xmp", "transparency", *ORIENTATIONS})


class TooManyPieces(Exception):
    """The parser has read the file more often than is allowed."""

    def __str__(self) -> str:
        return "it is in far more pieces than a picture needs"


class ReadLimitedFile(io.BytesIO):
    """A file in memory that can be read at most `reads` times.

    Picture files consist of chunks. Their parsers spend microseconds of Python on each, however small it is, so sixteen
    megabytes of empty chunks would keep a thread, and the interpreter's lock, for many seconds. A limit on reads bounds
    the chunks of every format.

    Raises:
        TooManyPieces: by `read`, once the limit is reached.
    """

    def __init__(self, data: bytes, reads: int) -> None:
        super().__init__(data)
        self.left = reads

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as io.BytesIO does."""
        self.left -= 1
        if self.left < 0:
            raise TooManyPieces
        return super().read(size)


def from_base64(text: str) -> bytes:
    """Decode a file given as text: base64, or a data: URL.

    Raises:
        InvalidImage: the text is not base64.
    """
    head, comma, tail = text.partition(",")
    encoded = tail if comma and head.startswith("data:") else text
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidImage("A string among the images is not base64 (RFC 4648) of a picture file.") from exc


def ignore_warnings() -> None:
    """Silence Pillow's warnings about files; relevant problems are raised as errors.

    Their texts contain numbers that the sender of a file chooses. Python would print each distinct text once, and
    remember it until the process ends.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


def open_picture(data: bytes, max_pixels: int) -> Image.Image:
    """Open a picture: parse its header, but do not decode its pixels.

    Args:
        data: a PNG, JPEG, WebP or BMP file; the format is detected from its content.
        max_pixels: maximum number of pixels to decode.

    Raises:
        InvalidImage: the file is empty, damaged, animated, of another format, a strip, or costs too much to decode.
        ImageTooLarge: the header announces more than `max_pixels`.
    """
    if not data:
        raise InvalidImage("The picture is empty: it has no bytes. Send a PNG, JPEG, WebP or BMP file.")
    try:
        picture = Image.open(ReadLimitedFile(without_texts(data), HEADER_READS), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise ImageTooLarge(f"The picture has more than the {max_pixels:,} pixels that are read.") from exc
    except UnidentifiedImageError as exc:
        raise InvalidImage(
            "The bytes are not a picture this service reads. Send a PNG, JPEG, WebP or BMP file."
        ) from exc
    except Exception as exc:  # a damaged header may fail in any way inside the decoders
        raise InvalidImage(f"The picture's header cannot be read ({type(exc).__name__}).") from exc
    width, height = picture.size
    most = min(max_pixels, MAX_WEBP_PIXELS) if picture.format == "WEBP" else max_pixels
    if width * height > most:
        raise ImageTooLarge(
            f"The picture has {width} x {height} = {width * height:,} pixels; at most {most:,} are read."
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InvalidImage(
            f"The picture has {width} x {height} pixels; one side may be {MAX_ASPECT} times as long as the other."
        )
    if picture.format in _JPEG:
        scans = data.count(_START_OF_SCAN)
        if scans > MAX_SCANS or scans * width * height > MAX_SCANNED_PIXELS:
            raise InvalidImage(f"The JPEG has {scans} scans, too many for its size. Save it anew.")
    if picture.info.get("compression") in _RLE and width * height > MAX_RLE_PIXELS:
        raise InvalidImage(f"The BMP has run lengths and more than {MAX_RLE_PIXELS:,} pixels. Save it as PNG.")
    # A phone's MPO is a JPEG with a second view or a depth map behind it; its first frame is the photograph.
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        raise InvalidImage("The picture is animated. Send one frame of it as a still picture.")
    return picture


def decode(picture: Image.Image) -> FloatArray:
    """Return the pixels of an opened picture as grey in [0, 1], float32 (height, width); close the picture.

    The EXIF orientation is applied. 16-bit grey is scaled, not clipped. Colour is reduced to luminance (ITU-R 601).
    Transparency is composed on white if the ink is dark, on black if it is light. Pictures larger than `WORKING_SIDE`
    or `WORKING_PIXELS` are reduced by an integer factor. An 8-bit grey picture gives its levels / 255.

    Raises:
        InvalidImage: the file is truncated or damaged.
    """
    try:
        _allow_data(picture)
        if picture.format in _JPEG:
            # The JPEG decoder can skip what a reduction would average away; it never goes below the size asked for.
            picture.draft(None, (WORKING_SIDE, WORKING_SIDE))
        picture.load()
        upright = picture if _is_plain(picture) else ImageOps.exif_transpose(picture)
        return _as_array(_grey(upright))
    except Exception as exc:  # zlib, libjpeg, libwebp and the chunk parsers each have their own errors
        raise InvalidImage(f"The picture is truncated or damaged ({type(exc).__name__}: {exc}).") from exc
    finally:
        picture.close()  # its pixels would stay in memory as long as the file that it came in


def decode_grey(picture: Image.Image) -> ByteArray | None:
    """Return the grey levels, uint8 (height, width), of an opened PNG of plain 8-bit grey; None for any other picture.

    For such a picture `decode` returns these levels / 255.

    Raises:
        InvalidImage: the file is truncated or damaged.
    """
    if picture.format != "PNG" or picture.mode != "L":
        return None
    try:
        _allow_data(picture)
        picture.load()
    except Exception as exc:
        raise InvalidImage(f"The picture is truncated or damaged ({type(exc).__name__}: {exc}).") from exc
    if not _is_plain(picture):
        return None
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(picture.height, picture.width)


def _allow_data(picture: Image.Image) -> None:
    file = getattr(picture, "fp", None)
    if isinstance(file, ReadLimitedFile):
        file.left = DATA_READS


def _is_plain(picture: Image.Image) -> bool:
    """Return whether a loaded picture is a PNG without orientation and transparency."""
    return picture.format == "PNG" and picture.info.keys().isdisjoint(_NOT_PLAIN)


def _grey(picture: Image.Image) -> Image.Image:
    """Convert to one channel: mode L, or mode F in the same range 0 .. 255 for levels that 8 bits do not represent."""
    if picture.mode == "L" and "transparency" not in picture.info:
        return picture
    # What takes floats is reduced first: they are sixteen times the memory of a byte, with their intermediates.
    if picture.mode.startswith("I"):
        levels = np.asarray(_reduced(picture.convert("I"))).astype(np.float32)
        return Image.fromarray(np.clip(levels / 65535, 0, 1) * 255)
    if picture.has_transparency_data:
        return _flatten(_reduced(picture.convert("RGBA")))
    return picture.convert("L")


def _flatten(picture: Image.Image) -> Image.Image:
    """Compose an RGBA picture with a contrasting background: white under dark ink, black under light ink."""
    alpha = np.asarray(picture.getchannel("A"), np.float32) / 255
    grey = np.asarray(picture.convert("RGB").convert("L"), np.float32)
    ink = float((grey * alpha).sum() / max(float(alpha.sum()), 1e-6))
    paper = 255.0 if ink < 127.5 else 0.0
    return Image.fromarray((grey * alpha + paper * (1 - alpha)).astype(np.float32))


def _reduced(picture: Image.Image) -> Image.Image:
    by_side = min(picture.size) // WORKING_SIDE
    by_pixels = math.ceil(math.sqrt(picture.width * picture.height / WORKING_PIXELS))
    factor = max(by_side, by_pixels)
    return picture.reduce(factor) if factor > 1 else picture


def _as_array(picture: Image.Image) -> FloatArray:
    return np.asarray(_reduced(picture), np.float32) / np.float32(255)
