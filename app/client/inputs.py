"""Images given by callers, as batches to send: files as they are, pixels as arrays.

A batch is built just before it is sent, so that a list of a million paths is never in memory as pictures.
"""

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageOps

from app.client.errors import InvalidInput

Array = npt.NDArray[Any]
Image = str | os.PathLike[str] | bytes | Pillow.Image | Array
Images = Image | Iterable[Image]

WIDE_MODES = frozenset({"I", "F"})
PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B"})


@dataclass(frozen=True)
class Sending:
    """How a long list is split and sent.

    Attributes:
        most_images: maximum number of images per request; the service accepts 256 picture files by default.
        most_bytes: maximum size of a request, unless a single file is larger; the service accepts 16 MiB by default.
        in_flight: maximum number of concurrent requests per call.
    """

    most_images: int = 64
    most_bytes: int = 4 * 2**20
    in_flight: int = 4

    def __post_init__(self) -> None:
        if min(self.most_images, self.most_bytes, self.in_flight) < 1:
            raise InvalidInput("most_images, most_bytes and in_flight are at least 1.")


@dataclass(frozen=True)
class Batch:
    """Images of one request: picture files, or pixels of one shape and type.

    Attributes:
        start: the index of its first image among all images given.
        content: files, or uint8 or float32 (n, h, w).
    """

    start: int
    content: tuple[bytes, ...] | Array

    def __len__(self) -> int:
        return len(self.content)

    def halves(self) -> tuple["Batch", "Batch"]:
        """Split the batch in two; it must hold at least two images."""
        middle = len(self) // 2
        return Batch(self.start, self.content[:middle]), Batch(self.start + middle, self.content[middle:])


def batches(images: Images, sending: Sending) -> Iterator[Batch]:
    """Split images, in order, into batches within the bounds of `sending`; read files as their batch is built.

    Raises:
        InvalidInput: no images were given, or one of them is not an image.
    """
    start = 0
    waiting: list[bytes | Array] = []
    for part in _parts(images, sending):
        if waiting and not _fits(part, waiting, sending):
            yield (ready := _batch(start, waiting))
            start, waiting = start + len(ready), []
        waiting.append(part)
    if not waiting:
        raise InvalidInput("No images were given.")
    yield _batch(start, waiting)


def count(images: Images) -> int | None:
    """Count the images; return None unless they are a sequence, since counting would exhaust an iterator."""
    if _is_one(images):
        return 1
    if isinstance(images, np.ndarray):
        return len(images)
    if not isinstance(images, Sequence):
        return None
    return sum(len(each) if isinstance(each, np.ndarray) and each.ndim > 2 else 1 for each in images)


def latents(z: Any) -> npt.NDArray[np.float32]:
    """Convert one latent vector (d,) or several (n, d) to float32 (n, d).

    Raises:
        InvalidInput: z is not made of finite numbers, or not of that shape.
    """
    try:
        array = np.asarray(z)
    except (TypeError, ValueError) as exc:
        raise InvalidInput("z is a list of numbers, or a list of such lists of equal length.") from exc
    if array.dtype.kind not in "fiu":
        raise InvalidInput(f"z is made of numbers; got {array.dtype}.")
    if array.ndim == 1:
        array = array[np.newaxis]
    if array.ndim != 2 or not array.size:
        raise InvalidInput(f"z has the shape (d,) or (n, d); got {np.shape(z)}.")
    with np.errstate(over="ignore"):
        points = array.astype(np.float32)
    if not np.isfinite(points).all():
        raise InvalidInput("z must be finite, in 32 bits too.")
    return points


def _is_one(images: Images) -> bool:
    if isinstance(images, np.ndarray):
        return images.ndim == 2
    return isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Pillow.Image)


def _parts(images: Images, sending: Sending) -> Iterator[bytes | Array]:
    """Yield every image as a file or as pixels (n, h, w), arrays in pieces that fit a batch."""
    if isinstance(images, np.ndarray) or _is_one(images):
        yield from _pieces(images, sending)
        return
    if not isinstance(images, Iterable):
        raise InvalidInput(_no_image(images))
    for each in images:
        yield from _pieces(each, sending)


def _pieces(image: Any, sending: Sending) -> Iterator[bytes | Array]:
    if not isinstance(image, np.ndarray):
        yield _file(image)
        return
    pixels = _pixels(image)
    rows = max(1, min(sending.most_images, sending.most_bytes // max(1, pixels[0].nbytes)))
    for first in range(0, len(pixels), rows):
        yield pixels[first : first + rows]


def _file(image: Any) -> bytes:
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, Pillow.Image):
        return _png(image)
    if not isinstance(image, str | os.PathLike):
        raise InvalidInput(_no_image(image))
    path = os.fsdecode(image)
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise InvalidInput(f"{path} cannot be read: {exc.strerror}.") from exc
    except ValueError as exc:  # no system has a name with a zero in it
        raise InvalidInput(f"{path!r} is no path: {exc}.") from exc


def _png(picture: Pillow.Image) -> bytes:
    """Encode a picture as PNG, upright; convert modes that PNG does not support (CMYK, floats)."""
    out = io.BytesIO()
    try:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in WIDE_MODES:
            upright = _narrowed(upright)
        elif upright.mode not in PNG_MODES:
            upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
        upright.save(out, "PNG", compress_level=1)
    except InvalidInput:
        raise
    except Exception as exc:  # the pixels of an opened file are read only now, and may be damaged in any way
        raise InvalidInput(f"The picture cannot be read ({type(exc).__name__}: {exc}).") from exc
    return out.getvalue()


def _narrowed(picture: Pillow.Image) -> Pillow.Image:
    """Convert a picture of 32 bits a pixel to 8 or 16.

    These modes do not define white. It is inferred from the brightest value: 1 (mode F only), 255 or 65535.
    """
    values = np.asarray(picture)
    brightest = values.max(initial=0)
    if not (values.min(initial=0) >= 0 and brightest <= 65535):  # NaN fails both
        raise InvalidInput(f"A picture of mode {picture.mode} has values in 0 .. 1, 0 .. 255 or 0 .. 65535.")
    if picture.mode == "F" and brightest <= 1:
        return Pillow.fromarray(np.rint(values * 65535).astype(np.uint16))
    return Pillow.fromarray(np.rint(values).astype(np.uint8 if brightest <= 255 else np.uint16))


def _pixels(array: Array) -> Array:
    """Convert an array to uint8 or float32 (n, h, w); drop a last axis of one channel, as Keras has it.

    Raises:
        InvalidInput: the array has another shape or type, or floats outside 0 .. 1.
    """
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim != 3 or not array.size:
        raise InvalidInput(f"An array of images has the shape (h, w) or (n, h, w); got {array.shape}.")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise InvalidInput(f"An array of images is uint8 (0 .. 255) or float (0 .. 1); got {array.dtype}.")
    if not ((array >= 0) & (array <= 1)).all():  # NaN fails both
        raise InvalidInput("Float images have values in 0 .. 1; for 0 .. 255 give uint8.")
    return array.astype(np.float32)


def _fits(part: bytes | Array, waiting: list[bytes | Array], sending: Sending) -> bool:
    """Return whether a part can join the waiting ones: it has their kind, and the batch stays within the bounds."""
    if _kind(part) != _kind(waiting[0]):
        return False
    return (
        _images(part) + sum(map(_images, waiting)) <= sending.most_images
        and _size(part) + sum(map(_size, waiting)) <= sending.most_bytes
    )


def _kind(part: bytes | Array) -> object:
    return (part.dtype, part.shape[1:]) if isinstance(part, np.ndarray) else bytes


def _images(part: bytes | Array) -> int:
    return len(part) if isinstance(part, np.ndarray) else 1


def _size(part: bytes | Array) -> int:
    return part.nbytes if isinstance(part, np.ndarray) else len(part)


def _batch(start: int, parts: list[bytes | Array]) -> Batch:
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if arrays:
        return Batch(start, arrays[0] if len(arrays) == 1 else np.concatenate(arrays))
    return Batch(start, tuple(part for part in parts if isinstance(part, bytes)))


def _no_image(given: object) -> str:
    return f"An image is a path, bytes, a PIL image or a NumPy array; got {type(given).__name__}."
