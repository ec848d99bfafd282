import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from app.api.formats.json_arrays import dumps
from app.inference.service import NUMBER_BYTES

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
FLOATS = arrays(np.float32, array_shapes(max_dims=3), elements=FINITE)


@given(FLOATS)
def test_a_number_reads_back_as_the_same_float32(array):
    again = np.asarray(json.loads(dumps({"z": array}))["z"], np.float32)
    assert (again.shape, again.tobytes()) == (array.shape, array.tobytes())


@given(FINITE)
@example(np.float32(-1.23456789e-10).item())
def test_a_number_and_its_comma_take_no_more_bytes_than_the_service_counts_on(number):
    assert len(dumps(np.float32([number]))) - len("[]") < NUMBER_BYTES


@pytest.mark.parametrize("n", [1, 3, 64])
def test_an_array_in_any_order_of_memory_is_written(n):
    array = np.arange(4 * n * n, dtype=np.float32).reshape(2 * n, 2 * n)
    for view in (
        array.T,
        array[::2, ::-1],
        np.asfortranarray(array),
        array[:, 1],
        np.broadcast_to(array[0], (3, 2 * n)),
    ):
        assert json.loads(dumps({"z": view, "name": "a"})) == {"z": view.tolist(), "name": "a"}


@pytest.mark.parametrize("n", [1, 65])
def test_what_is_not_finite_is_null_since_json_has_no_word_for_it(n):
    array = np.full(n, 1, np.float32)
    for bad in (np.nan, np.inf, -np.inf):
        array[0] = bad
        assert json.loads(dumps({"z": array}))["z"] == [None] + [1] * (n - 1)


def test_arrays_deep_in_a_document_are_written():
    rows = [{"z_mean": row, "id": "null"} for row in np.eye(2, dtype=np.float32)]
    assert json.loads(dumps({"predictions": rows})) == {
        "predictions": [{"z_mean": [1, 0], "id": "null"}, {"z_mean": [0, 1], "id": "null"}]
    }
