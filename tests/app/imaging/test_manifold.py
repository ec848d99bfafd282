import numpy as np
import pytest

from app.imaging.manifold import grid, latents


def test_the_grid_is_the_notebooks():
    from scipy.stats import norm

    assert np.array_equal(grid(15, 0.05, 0.95), norm.ppf(np.linspace(0.05, 0.95, 15)).astype(np.float32))


def test_the_tile_at_row_i_and_column_j_has_the_first_coordinate_of_j_and_the_second_of_i():
    quantiles = grid(3, 0.1, 0.9)
    z = latents(quantiles, 2).reshape(3, 3, 2)
    for i in range(3):
        for j in range(3):
            assert z[i, j].tolist() == [quantiles[j], quantiles[i]]


def test_other_coordinates_of_a_larger_latent_space_are_zero():
    z = latents(grid(2, 0.1, 0.9), 4, (3, 1)).reshape(2, 2, 4)
    assert not z[..., [0, 2]].any()
    assert z[0, 1].tolist() == pytest.approx([0, -1.2816, 0, 1.2816], abs=1e-4)
