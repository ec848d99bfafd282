import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.api.formats import npy
from app.errors import MalformedBody


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.float32, np.float64, np.int16]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    )
)
def test_what_is_written_is_read_back(array):
    again = npy.loads(npy.dumps(array))
    assert again.dtype == array.dtype
    assert np.array_equal(again, array, equal_nan=True)


def test_numpy_reads_and_writes_the_same_format():
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    out = io.BytesIO()
    np.save(out, array)
    assert np.array_equal(npy.loads(out.getvalue()), array)
    assert np.array_equal(np.load(io.BytesIO(npy.dumps(array))), array)


def test_objects_are_refused():
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(MalformedBody, match="Python objects"):
        npy.loads(out.getvalue())


def test_a_header_that_promises_more_than_follows_is_refused():
    whole = npy.dumps(np.zeros((4, 4)))
    with pytest.raises(MalformedBody, match="bytes follow"):
        npy.loads(whole[:-1])
    with pytest.raises(MalformedBody):
        npy.loads(whole.replace(b"(4, 4)", b"(9**9,"))


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_an_array_or_an_error_of_ours(data, with_magic):
    try:
        npy.loads(b"\x93NUMPY\x01\x00" + data if with_magic else data)
    except MalformedBody:
        return
    assert with_magic


HEADERS = {
    "a hundred dimensions": "{'descr': '|u1', 'fortran_order': False, 'shape': (%s)}" % ("1," * 100),
    "lengths below zero": "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, -1)}",
    "nothing, of a length beyond all": "{'descr': '|u1', 'fortran_order': True, 'shape': (0, %s)}" % ("9" * 30),
    "lengths of thousands of digits": "{'descr': '|u1', 'fortran_order': False, 'shape': (%s, %s)}"
    % (("9" * 4000,) * 2),
    "a type of a terabyte": "{'descr': ('<f4', (1000000, 1000000)), 'fortran_order': False, 'shape': (0,)}",
    "an endless tuple": "(" * 5000,
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("data", [b"", b"x"])
def test_a_shape_that_no_array_can_have_is_refused(header, data):
    text = header.encode() + b"\n"
    with pytest.raises(MalformedBody) as refused:
        npy.loads(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data)
    assert len(refused.value.detail) < 300
