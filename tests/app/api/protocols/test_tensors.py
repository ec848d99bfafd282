import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.api.protocols import tensors
from app.errors import MalformedBody

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5)


@given(st.sampled_from(sorted(tensors.NUMBERS)), SHAPES, st.data())
def test_raw_bytes_are_read_as_numpy_wrote_them(datatype, shape, data):
    array = data.draw(hnp.arrays(np.dtype(tensors.NUMBERS[datatype]), shape))
    again = tensors.from_bytes(datatype, shape, memoryview(array.tobytes()))
    assert again.dtype == array.dtype
    assert np.array_equal(again, array, equal_nan=datatype != "UINT8")


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(-1e6, 1e6, width=32)))
def test_what_is_written_is_read_back(array):
    assert np.array_equal(tensors.from_bytes("FP32", array.shape, tensors.to_bytes(array)), array)
    for data in (array.tolist(), array.ravel().tolist()):
        assert np.array_equal(tensors.from_list("FP32", array.shape, data).astype(np.float32), array)


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_elements_are_read_as_they_were_written(files):
    raw = b"".join(struct.pack("<I", len(file)) + file for file in files)
    assert tensors.elements(len(files), raw) == files
    for count, damaged in ((len(files) + 1, raw), (len(files), raw + b"x"), (max(len(files) - 1, 0), raw + b"\0" * 4)):
        with pytest.raises(MalformedBody):
            tensors.elements(count, damaged)


@given(st.integers(0, 2**40), st.binary(max_size=64))
def test_any_bytes_are_elements_or_an_error_of_ours(count, raw):
    with suppress(MalformedBody):
        assert len(tensors.elements(count, raw)) == count


@given(st.sampled_from(sorted(tensors.NUMBERS)), st.lists(st.integers(0, 2**62), min_size=1, max_size=8), st.binary())
def test_any_shape_fits_its_bytes_or_is_an_error_of_ours(datatype, shape, raw):
    with suppress(MalformedBody):
        assert tensors.from_bytes(datatype, tuple(shape), raw).nbytes == len(raw)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)


@given(st.lists(JSON_VALUES, max_size=4), SHAPES, st.sampled_from(sorted(tensors.NUMBERS)))
def test_any_json_is_a_tensor_of_its_shape_or_an_error_of_ours(data, shape, datatype):
    with suppress(MalformedBody):
        assert tensors.from_list(datatype, shape, data).shape == shape


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([[1, 2], [3]], "same length"),
        ([[1, 2], 3], "same length"),
        ([1, [2]], "not a number"),
        ([1, True], "not a number"),
        ([1, "2"], "not a number"),
        ([1, None], "not a number"),
        ([1, 10**400], "not a number"),
        ([[1], [2]], "announced"),
        ([[[1, 2]]], "announced"),
        ([1, 2, 3], "announced"),
        ([], "announced"),
    ],
)
def test_what_is_no_tensor_of_the_shape_says_why(data, words):
    with pytest.raises(MalformedBody, match=words):
        tensors.from_list("FP32", (1, 2), data)


@pytest.mark.parametrize("value", [-1, 256, 0.5, float("nan"), float("inf")])
def test_levels_are_whole_numbers_of_a_byte(value):
    with pytest.raises(MalformedBody, match="0 to 255"):
        tensors.from_list("UINT8", (2,), [0, value])
