"""Tensors as the serving protocols carry them, to arrays and back; pure.

JSON: lists of numbers, nested or flat              --numbers, from_list--> array
the binary tensor data extension: raw little-endian --from_bytes--> array, --elements--> the files of a BYTES tensor
arrays                                              --to_bytes--> raw little-endian

https://github.com/kserve/open-inference-protocol (the datatypes), and Triton's extension_binary_data.md.
"""

import math
import struct
from itertools import chain
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, FailFast, TypeAdapter, ValidationError

from app.errors import MalformedBody
from app.imaging.types import FloatArray

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

BYTES = "BYTES"
NUMBERS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "UINT8": "|u1"}  # datatype: how NumPy calls it

MAX_DEPTH = 8  # lists in lists; NumPy's own bound is 64

# Neither text nor true is a number, and one that is none is enough to say so.
_FLOATS = TypeAdapter(Annotated[list[float], FailFast()], config=ConfigDict(strict=True))


def numbers(data: list[Any]) -> npt.NDArray[np.float64]:
    """Convert nested lists of numbers to an array of their shape.

    Raises:
        MalformedBody: lists of one level differ in length or lie too deep, or something is not a number.
    """
    shape = [len(data)]
    flat = data
    while flat and isinstance(flat[0], list):
        length = len(flat[0])
        if not all(isinstance(each, list) and len(each) == length for each in flat):
            raise MalformedBody("Lists of numbers that lie side by side must have the same length.")
        if len(shape) == MAX_DEPTH:
            raise MalformedBody(f"Lists of numbers lie more than {MAX_DEPTH} deep.")
        shape.append(length)
        flat = list(chain.from_iterable(flat))
    try:
        return np.asarray(_FLOATS.validate_python(flat), np.float64).reshape(shape)
    except ValidationError as exc:
        raise MalformedBody(f"A tensor's value is not a number: {exc.errors(include_url=False)[0]['msg']}.") from exc


def from_list(datatype: str, shape: Shape, data: list[Any]) -> Array:
    """Convert a tensor's JSON `data`, nested or flat, to an array of `shape`: uint8, or float for FP16 to FP64.

    Raises:
        MalformedBody: the data does not fit the shape or the datatype, or the shape is empty.
    """
    _must_hold_something(shape)
    array = numbers(data)
    if array.shape != shape and (array.ndim != 1 or array.size != math.prod(shape)):
        raise MalformedBody(f"The data has the shape {list(array.shape)}, but {list(shape)} is announced.")
    if datatype == "UINT8":
        if not ((array >= 0) & (array <= 255)).all() or (array % 1).any():
            raise MalformedBody("The data of a UINT8 tensor are whole numbers of 0 to 255; for 0 to 1 send FP32.")
        return array.astype(np.uint8).reshape(shape)
    return array.reshape(shape)


def from_bytes(datatype: str, shape: Shape, raw: bytes | memoryview) -> Array:
    """Read little-endian numbers in row-major order as a read-only array of `shape`, a view of `raw`.

    Raises:
        MalformedBody: `raw` has more or fewer bytes than the shape needs, or the shape is empty.
    """
    _must_hold_something(shape)
    kind = np.dtype(NUMBERS[datatype])
    wanted = math.prod(shape) * kind.itemsize
    if len(raw) != wanted:
        raise MalformedBody(f"A {datatype} tensor of shape {list(shape)} is {wanted} bytes; there are {len(raw)}.")
    return np.frombuffer(raw, kind).reshape(shape)


def _must_hold_something(shape: Shape) -> None:
    # Nothing has any number of dimensions of any length, which NumPy cannot represent.
    if 0 in shape:
        raise MalformedBody(f"A tensor of shape {list(shape)} is empty; send at least one row.")


def elements(count: int, raw: bytes | memoryview) -> list[bytes]:
    """Split a BYTES tensor into its elements, each preceded by its length in four bytes, little-endian.

    Raises:
        MalformedBody: the lengths do not add up, or there are not `count` elements.
    """
    found: list[bytes] = []
    at = 0
    while len(found) < count and at + 4 <= len(raw):
        end = at + 4 + int(struct.unpack_from("<I", raw, at)[0])
        if end > len(raw):
            break
        found.append(bytes(raw[at + 4 : end]))
        at = end
    if at != len(raw) or len(found) != count:
        raise MalformedBody(
            f"A BYTES tensor of {count} elements is each one's length in four bytes and its content; "
            f"the {len(raw)} bytes hold {len(found)} such elements and {len(raw) - at} bytes more."
        )
    return found


def to_bytes(array: FloatArray) -> bytes:
    """Return an FP32 tensor's raw bytes."""
    return np.ascontiguousarray(array, NUMBERS["FP32"]).tobytes()
