"""Data augmentation by small random changes of shape, with which the encoder generalises better to unseen digits."""

from typing import Any

from training.devices import Rows

STRETCH, SHEAR, SHIFT = 0.10, 0.15, 1.0  # at strength 1: a tenth, a seventh, a pixel, either way


def augment(images: Any, seed: Any, strength: float, rows: Rows | None = None) -> Any:
    """Stretch, shear and shift each image at random, first along its rows, then along its columns.

    Args:
        images: float32 (b, h, w) in [0, 1]; b is known when the graph is made.
        seed: seed of the draws, (2,).
        strength: factor of STRETCH, SHEAR and SHIFT.
        rows: the rows of the whole batch that `images` are, if they are a part of one; the draws are cut accordingly.

    Returns:
        float32 (b, h, w) in [0, 1], bilinearly resampled; 0 outside of the original image.
    """
    import tensorflow as tf

    n = rows.of if rows else images.shape[0]
    draws = tf.random.stateless_uniform((2, 3, n, 1, 1), seed, -strength, strength)
    if rows:
        draws = rows.cut(draws, axis=2)
    along_rows = _resample(images, draws[0])
    return tf.clip_by_value(_turned(_resample(_turned(along_rows), draws[1])), 0.0, 1.0)


def _turned(images: Any) -> Any:
    import tensorflow as tf

    return tf.transpose(images, (0, 2, 1))


def _resample(images: Any, draws: Any) -> Any:
    """Return images[b, i, x] as out[b, i, j], x = j * stretch + i * shear + shift about the centre.

    The draws are (3, b, 1, 1): stretch, shear and shift.
    """
    import tensorflow as tf

    height, width = images.shape[1:]
    i = tf.range(height, dtype=tf.float32)[:, tf.newaxis] - (height - 1) / 2
    j = tf.range(width, dtype=tf.float32) - (width - 1) / 2
    x = j * (1 + STRETCH * draws[0]) + i * SHEAR * draws[1] + SHIFT * draws[2]  # (b, h, w)
    # A matrix of bilinear weights per row: XLA makes a fused loop of it, where a gather would be slow.
    weights = tf.nn.relu(1 - tf.abs(j - x[..., tf.newaxis]))  # (b, h, w, w)
    return tf.einsum("bijk,bik->bij", weights, images)
