"""PNG files of grey pictures: encoding them, and recognizing minimal ones by their bytes."""

import io
import struct
import zlib
from functools import lru_cache

import numpy as np
from PIL import Image

from app.imaging.types import ByteArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
ORIENTATIONS = ("XML:com.adobe.xmp", "Raw profile type exif")  # keywords of texts in which Pillow finds one
MAX_TEXT_BYTES = MAX_CHUNKS = 65536
# PNGs of at most so many pixels are stored, not compressed: they fit one packet either way.
SMALL_PIXELS = 1024


def encode_png(grey: ByteArray) -> bytes:
    """Encode a grey picture, uint8 (height, width), as PNG."""
    if grey.size <= SMALL_PIXELS:
        return _stored_png(grey)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _stored_png(grey: ByteArray) -> bytes:
    """Encode without compression, in 2 microseconds for a digit; Pillow's fastest level takes 35.

    The zlib stream is one stored block (RFC 1950; RFC 1951, 3.2.4). It is built here because zlib, even at level 0,
    clears a quarter of a megabyte for its windows, which evicts the CPU's caches.
    """
    height, width = grey.shape
    lines = np.zeros((height, width + 1), np.uint8)  # each line begins with its filter type, 0 for none
    lines[:, 1:] = grey
    raw = lines.tobytes()
    stream = struct.pack("<2sBHH", b"\x78\x01", 1, len(raw), 0xFFFF - len(raw)) + raw
    data = b"IDAT" + stream + struct.pack(">I", zlib.adler32(raw))
    head, tail = _png_frame(height, width)
    return b"".join((head, struct.pack(">I", len(data) - 4), data, struct.pack(">I", zlib.crc32(data)), tail))


def is_minimal_png(data: bytes, shape: tuple[int, int]) -> bool:
    """Return whether a file is a PNG of `shape`, 8-bit grey, not interlaced, with only IHDR, one IDAT and IEND.

    The checksum and the content of the IDAT are not verified; the decoder does that.
    """
    head, tail = _png_frame(*shape)
    if not (data.startswith(head) and data.endswith(tail) and data[37:41] == b"IDAT"):
        return False
    return int.from_bytes(data[33:37], "big") == len(data) - len(head) - len(tail) - 12


def without_texts(data: bytes) -> bytes:
    """Return a PNG file without texts and colour profile; return any other file as it is.

    Pillow inflates them while it reads a header, a megabyte each. Nothing here looks at them, but for the texts that
    may hold an orientation, of each of which the first is kept.

    Raises:
        ValueError: it is in more pieces than a picture needs.
    """
    if not data.startswith(SIGNATURE):
        return data
    kept, at, wanted = [SIGNATURE], len(SIGNATURE), [*ORIENTATIONS]
    for _ in range(MAX_CHUNKS):
        if at >= len(data):
            return b"".join(kept)
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        keyword = next((each for each in wanted if data.startswith(each.encode() + b"\0", at + 8)), "")
        if keyword and end - at <= MAX_TEXT_BYTES:
            wanted.remove(keyword)
            kept.append(data[at:end])
        elif data[at + 4 : at + 8] not in TEXTS:
            kept.append(data[at:end])
        at = end
    raise ValueError("more chunks than a picture needs")


@lru_cache(64)
def _png_frame(height: int, width: int) -> tuple[bytes, bytes]:
    """Return the bytes before and after the data of an 8-bit grey PNG (ISO/IEC 15948, 11.2)."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    head = SIGNATURE + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return head, struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
