import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.api.responses import matches, to_base64_pngs
from tests.app.api.test_problems import check_problem
from tests.support.pictures import pixels


@pytest.mark.parametrize(
    ("path", "accept"),
    [("/encode", "image/png"), ("/generate", "text/html"), ("/generate", "nonsense"), ("/reconstruct", "image/gif")],
)
async def test_an_unacceptable_accept_is_a_problem(client, path, accept):
    response = await client.post(path, json={"z": [0, 0]}, headers={"accept": accept})
    check_problem(response, 406, "not-acceptable", "this route answers with")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("*/*", "image/png"),
        ("text/html, */*;q=0.1", "image/png"),
        ("application/json;q=0.9, image/png;q=0.2", "application/json"),
        ("image/png;q=0, */*", "application/x-npy"),
        ("", "image/png"),
    ],
)
async def test_accept_chooses_the_representation(client, accept, chosen):
    response = await client.post("/generate", json={"z": [0, 0]}, headers={"accept": accept})
    assert response.headers["content-type"] == chosen


@pytest.mark.parametrize(
    ("header", "held"),
    [('"a"', True), ('W/"a"', True), ('"b", W/"a"', True), (" * ", True), ('"b"', False), ("a", False), ("", False)],
)
def test_an_entity_tag_is_found_among_those_that_the_caller_has(header, held):
    assert matches(header, '"a"') is held


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))))
def test_each_digit_is_a_png_of_its_own(digits):
    found = [pixels(base64.b64decode(text)) for text in to_base64_pngs(digits)]
    assert np.array_equal(found, digits)
