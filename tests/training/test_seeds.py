import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import seeds


@given(seed=st.integers(0, 2**31 - 1), epoch=st.integers(0, 10**6), n=st.integers(0, 300))
def test_any_epoch_of_any_run_has_one_order_of_all_images(seed, epoch, n):
    found = seeds.order(seed, epoch, n)
    assert np.array_equal(np.sort(found), np.arange(n))
    assert np.array_equal(seeds.order(seed, epoch, n), found)
    if n > 50:
        assert not np.array_equal(seeds.order(seed, epoch + 1, n), found)
        assert not np.array_equal(seeds.order(seed + 1, epoch, n), found)


@pytest.mark.slow
def test_no_two_draws_share_their_seed():
    cases = [
        (seed, purpose, major, minor) for seed in (0, 1) for purpose in (1, 2) for major in (0, 1) for minor in (0, 1)
    ]
    found = [tuple(seeds.of_draw(*case).numpy()) for case in cases]
    assert len(set(found)) == len(cases)
    assert [tuple(seeds.of_draw(*case).numpy()) for case in cases] == found
