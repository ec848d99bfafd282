import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.inference.reconstruction import Reconstruction
from app.models.engine import Posterior

IMAGES = hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(0, 1, width=32))
LATENTS = hnp.arrays(np.float32, (3, 2), elements=st.floats(-5, 5, width=32))


def made(images, again, z_mean=None, z_log_var=None) -> Reconstruction:
    prior = np.zeros((len(images), 2), np.float32)
    return Reconstruction(
        images, again, Posterior(prior if z_mean is None else z_mean, prior if z_log_var is None else z_log_var)
    )


@given(images=IMAGES, again=IMAGES, z_mean=LATENTS, z_log_var=LATENTS)
def test_the_loss_is_finite_and_the_sum_of_parts_that_are_never_negative(images, again, z_mean, z_log_var):
    found = made(images, again, z_mean, z_log_var)
    assert found.xent.shape == found.kl.shape == found.loss.shape == (3,)
    assert np.isfinite(found.loss).all()
    assert found.xent.min() >= 0
    assert found.kl.min() >= -1e-6
    assert np.array_equal(found.loss, found.xent + found.kl)


@given(IMAGES)
def test_no_reconstruction_costs_less_than_the_image_itself(images):
    assert (made(images, images).xent <= made(images, images[::-1]).xent + 1e-3).all()


def test_the_prior_itself_costs_nothing_and_each_coordinate_by_itself():
    images = np.zeros((1, 1, 1), np.float32)
    assert made(images, images).kl == pytest.approx(0)
    z_mean, z_log_var = np.array([[3, 0]], np.float32), np.array([[0, np.log(2)]], np.float32)
    assert made(images, images, z_mean, z_log_var).kl == pytest.approx(4.5 + (2 - 1 - np.log(2)) / 2)


def test_the_cross_entropy_is_that_of_a_coin_for_each_pixel():
    images, even = np.ones((1, 4, 5), np.float32), np.full((1, 4, 5), 0.5, np.float32)
    assert made(images, even).xent == pytest.approx(20 * np.log(2))
    assert made(images, np.zeros_like(images)).xent == pytest.approx(20 * np.log(1e7), rel=1e-3)
