"""NumPy's npy format (NEP 1), read from untrusted clients: no pickles, and no memory beyond the size of the body."""

import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import MalformedBody

MEDIA_TYPE = "application/x-npy"


def loads(data: bytes) -> npt.NDArray[Any]:
    """Read the array of an npy file as a read-only view of `data`.

    Raises:
        MalformedBody: not an npy file, an array of objects, or a header that does not fit the data behind it.
    """
    source = io.BytesIO(data)
    try:
        shape, fortran, dtype = _header(source)
    except Exception as exc:  # the header is a Python literal: anything may be in it
        raise MalformedBody("The body is not an npy file. Write it with numpy.save.") from exc
    if dtype.hasobject:
        raise MalformedBody("The npy file holds Python objects. Send numbers: uint8 or float32.")
    length = len(data) - source.tell()
    if dtype.itemsize == 0 or math.prod(shape) * dtype.itemsize != length:
        raise MalformedBody(
            f"The npy header promises {str(shape)[:80]} of {str(dtype)[:80]}, but {length} bytes follow it."
        )
    try:
        return np.ndarray(shape, dtype, data, source.tell(), order="F" if fortran else "C")
    except (ValueError, OverflowError) as exc:  # too many dimensions, or one too long or below zero
        raise MalformedBody("The npy header has a shape that no array can have.") from exc


def _header(source: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(source)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(source)
    return np.lib.format.read_array_header_2_0(source)


def dumps(array: npt.NDArray[Any]) -> bytes:
    """Write an array as an npy file."""
    contiguous = np.asarray(array, order="C")
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, np.lib.format.header_data_from_array_1_0(contiguous))
    out.write(contiguous.data)  # write_array would copy it in pieces first
    return out.getvalue()
