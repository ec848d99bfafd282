import numpy as np
import pytest

pytestmark = pytest.mark.slow


def test_a_warp_moves_strokes_by_little_and_keeps_the_range(digits):
    import tensorflow as tf

    from training.data.augmentation import augment
    from training.model.autoencoder import to_pixels

    pixels = to_pixels(digits.x_train[:50])
    assert np.allclose(augment(pixels, tf.constant([1, 2]), 0.0), pixels, atol=1e-6)
    warped = augment(pixels, tf.constant([1, 2]), 1.0).numpy()
    assert 0 <= warped.min() <= warped.max() <= 1
    assert 0.02 < np.abs(warped - pixels).mean() < 0.1
    ratio = warped.sum((1, 2)) / pixels.numpy().sum((1, 2))
    assert 0.7 < ratio.min() < ratio.max() < 1.3
