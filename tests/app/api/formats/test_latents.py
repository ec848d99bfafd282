import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.formats import npy
from app.api.formats.latents import latents_from_array, latents_from_json, sample_prior
from app.errors import InvalidLatent, InvalidParameter

COORDINATES = st.floats(-1e6, 1e6, width=32)


@given(st.lists(st.lists(COORDINATES, min_size=3, max_size=3), min_size=1, max_size=5))
def test_json_and_npy_of_the_same_numbers_give_the_same_vectors(rows):
    expected = np.array(rows, np.float32)
    found = latents_from_json(json.dumps({"z": rows}).encode(), 3, 5)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
    assert np.array_equal(latents_from_json(json.dumps({"z": rows[0]}).encode(), 3, 5), expected[:1])
    assert np.array_equal(latents_from_array(npy.loads(npy.dumps(expected.astype(np.float64))), 3), expected)


@given(bad=st.sampled_from([np.nan, np.inf, -np.inf, 1.1e6, -1e300]), place=st.integers(0, 5))
def test_a_number_that_is_not_finite_or_too_large_is_refused_wherever_it_stands(bad, place):
    array = np.zeros((3, 2))
    array.flat[place] = bad
    with pytest.raises(InvalidLatent, match="finite"):
        latents_from_array(array, 2)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(2), "shape"),
        (np.zeros((2, 3)), "shape"),
        (np.zeros((2, 2), complex), "numbers"),
        (np.zeros((2, 2), bool), "numbers"),
        (np.zeros((2, 2), "U1"), "numbers"),
    ],
)
def test_what_is_no_array_of_vectors_is_refused(array, words):
    with pytest.raises(InvalidLatent, match=words):
        latents_from_array(array, 2)


def test_rows_and_draws_are_bounded():
    assert len(latents_from_json(b'{"sample": 4}', 2, 4)) == 4
    with pytest.raises(InvalidParameter, match="at most 4"):
        latents_from_json(b'{"sample": 5}', 2, 4)
    with pytest.raises(InvalidLatent, match="at most 4"):
        latents_from_json(json.dumps({"z": [[0, 0]] * 5}).encode(), 2, 4)
    with pytest.raises(InvalidLatent, match=r"z\[1\] has 1 numbers"):
        latents_from_json(b'{"z": [[0, 0], [0]]}', 2, 4)


def test_equal_seeds_draw_equal_vectors_and_other_seeds_others():
    first, again, other, unseeded = (sample_prior(5, 2, seed) for seed in (1, 1, 2, None))
    assert (first.dtype, first.shape) == (np.float32, (5, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(unseeded, sample_prior(5, 2, None))
