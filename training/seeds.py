"""The seeds of a run's random numbers.

Every draw has its own seed, made of the run's seed, the draw's purpose, and its position in the run. No state passes
from one draw to the next, so a run can be interrupted anywhere and resumed with the same results.
"""

from typing import Any

import numpy as np

NOISE, WARP, WARPED_NOISE, VALIDATION, EVALUATION, IMPORTANCE = range(1, 7)
SHUFFLE = 7


def of_draw(seed: Any, purpose: Any, major: Any, minor: Any) -> Any:
    """Return the seed, (2,), of one stateless sample of TensorFlow."""
    import tensorflow as tf

    mixed = tf.random.experimental.stateless_fold_in(tf.stack([seed, purpose]), major)
    return tf.random.experimental.stateless_fold_in(mixed, minor)


def order(seed: int, epoch: int, n: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the order in which an epoch sees n images."""
    return np.random.default_rng((seed, SHUFFLE, epoch)).permutation(n)
