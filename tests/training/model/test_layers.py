import numpy as np
import pytest

pytestmark = pytest.mark.slow


def test_fourier_features_are_z_and_the_waves_of_its_trainable_frequencies():
    from training.model.layers import FourierFeatures

    layer = FourierFeatures(5, 1.5)
    z = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    found = layer(z).numpy()
    (frequencies,) = layer.trainable_variables
    assert frequencies.shape == (3, 5)
    phase = z @ frequencies.numpy()
    assert np.allclose(found, np.concatenate([z, np.sin(phase), np.cos(phase)], 1), atol=1e-5)


def test_a_bound_clips_and_lets_no_gradient_through_beyond_it():
    import tensorflow as tf

    from training.model.layers import Bound

    x = tf.Variable([-3.0, -1.0, 0.5, 9.0])
    with tf.GradientTape() as tape:
        found = Bound(-2.0, 4.0)(x)
    assert found.numpy().tolist() == [-2, -1, 0.5, 4]
    assert tape.gradient(found, x).numpy().tolist() == [0, 1, 1, 0]
