import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.loop.losses import NOTHING, Losses


@pytest.mark.slow
def test_the_loss_is_784_times_keras_binary_cross_entropy_plus_the_notebooks_kl():
    import keras
    import tensorflow as tf

    from training.loop.losses import cross_entropy, kl_divergence

    rng = np.random.default_rng(0)
    x, logits = rng.random((5, 784), np.float32), rng.normal(0, 2, (5, 784)).astype(np.float32)
    expected = 784 * keras.losses.binary_crossentropy(x, tf.sigmoid(logits)).numpy()
    assert np.allclose(cross_entropy(x, logits), expected, rtol=1e-4)
    mean, log_var = rng.normal(0, 1, (2, 5, 2)).astype(np.float32)
    expected = -0.5 * (1 + log_var - mean**2 - np.exp(log_var)).sum(1)
    assert np.allclose(kl_divergence(mean, log_var), expected, rtol=1e-5)


@given(st.lists(st.tuples(*[st.floats(0, 1000)] * 3), min_size=1, max_size=5))
def test_losses_are_added_and_divided_part_by_part(parts):
    total = NOTHING
    for part in parts:
        total = total.plus(Losses(*part))
    assert total.over(len(parts)) == pytest.approx(tuple(np.mean(parts, axis=0)))


@pytest.mark.slow
def test_a_draw_of_z_is_its_seeds_and_without_noise_the_mean():
    from training.loop.losses import sample

    z_mean, z_log_var = np.full((2000, 2), 3, np.float32), np.full((2000, 2), np.log(4), np.float32)
    first, again, other = (sample(z_mean, z_log_var, (1, seed)).numpy() for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.mean() == pytest.approx(3, abs=0.15)
    assert first.std() == pytest.approx(2, abs=0.1)
    assert np.array_equal(sample(z_mean, z_log_var, (1, 1), epsilon_std=0.0), z_mean)
