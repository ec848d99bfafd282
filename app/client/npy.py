"""NumPy's npy format (NEP 1), in which arrays are sent and digits received."""

import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt

MEDIA_TYPE = "application/x-npy"


def dumps(array: npt.NDArray[Any]) -> bytes:
    """Serialize an array as an npy file."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.ascontiguousarray(array), allow_pickle=False)
    return out.getvalue()


def digits(data: bytes) -> npt.NDArray[np.uint8]:
    """Read the grey levels of an npy file, uint8 (n, h, w).

    The size that the header announces is compared with the data before any memory is allocated.

    Raises:
        Exception: the data is not such a file. The header is a Python literal, so its errors are of any type.
    """
    source = io.BytesIO(data)
    if np.lib.format.read_magic(source) != (1, 0):
        raise ValueError("an npy file of a version that digits do not need")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(source)
    if dtype != np.uint8 or fortran or len(shape) != 3 or math.prod(shape) != len(data) - source.tell():
        raise ValueError(f"{dtype} {shape}")
    return np.frombuffer(data, np.uint8, offset=source.tell()).reshape(shape).copy()
