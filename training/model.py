"""The encoder, the generator, and the bound that trains them.

Kingma and Welling, "Auto-Encoding Variational Bayes" (2013). Shapes: b images of h x w pixels, latent size d.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from training.config import Config

Tensor = Any  # TensorFlow ships no types

# exp(20) is far beyond any variance that helps, and far below what overflows: an unbounded log-variance ends a run
# with NaN now and then.
LOG_VAR_BOUND = 20.0


@dataclass(frozen=True)
class Autoencoder:
    """The two halves, and the generator without its last sigmoid, from which the loss is computed stably."""

    encoder: Any  # keras.Model: image (b, h, w) in [0, 1] -> z_mean (b, d), z_log_var (b, d)
    generator: Any  # keras.Model: z (b, d) -> image (b, h, w) in [0, 1]
    logits: Any  # keras.Model: z (b, d) -> (b, h * w), shares its weights with `generator`

    @property
    def trainable_variables(self) -> list[Any]:
        """All weights, the encoder's first."""
        return [*self.encoder.trainable_variables, *self.generator.trainable_variables]


def build(config: Config, image_shape: tuple[int, int]) -> Autoencoder:
    """A freshly initialised autoencoder; equal seeds give equal weights."""
    import keras

    keras.utils.set_random_seed(config.seed)
    return Autoencoder(_encoder(config, image_shape), *_generator(config, image_shape))


def _encoder(config: Config, image_shape: tuple[int, int]) -> Any:
    import keras

    image = keras.Input(image_shape, name="image")
    hidden = keras.layers.Flatten()(image)
    for units in config.encoder_units:
        hidden = keras.layers.Dense(units, config.activation)(hidden)
    z_mean = keras.layers.Dense(config.latent_dim, name="z_mean")(hidden)
    z_log_var = keras.layers.Dense(config.latent_dim, name="z_log_var")(hidden)
    return keras.Model(image, [z_mean, z_log_var], name="encoder")


def _generator(config: Config, image_shape: tuple[int, int]) -> tuple[Any, Any]:
    import keras

    height, width = image_shape
    z = keras.Input((config.latent_dim,), name="z")
    hidden = z
    for units in config.generator_units:
        hidden = keras.layers.Dense(units, config.activation)(hidden)
    logits = keras.layers.Dense(height * width, name="logits")(hidden)
    image = keras.layers.Reshape(image_shape)(keras.layers.Activation("sigmoid")(logits))
    return keras.Model(z, image, name="generator"), keras.Model(z, logits, name="logits")


def sample(z_mean: Tensor, z_log_var: Tensor, seed: Tensor, epsilon_std: float = 1.0) -> Tensor:
    """Z = z_mean + exp(z_log_var / 2) * eps, eps ~ N(0, epsilon_std^2); the same for the same seed."""
    import tensorflow as tf

    eps = tf.random.stateless_normal(tf.shape(z_mean), seed, stddev=epsilon_std)
    return z_mean + tf.exp(0.5 * bounded(z_log_var)) * eps


def bounded(z_log_var: Tensor) -> Tensor:
    """The log-variance within the range in which training computes."""
    import tensorflow as tf

    return tf.clip_by_value(z_log_var, -LOG_VAR_BOUND, LOG_VAR_BOUND)


def cross_entropy(images: Tensor, logits: Tensor) -> Tensor:
    """Binary cross-entropy in nats, summed over the pixels; images (b, p) in [0, 1] and logits (b, p) to (b,).

    The sum is p times the mean that `keras.losses.binary_crossentropy` gives. With real-valued pixels it equals the
    expectation under pixels drawn from them, so it compares with results on dynamically binarised images.
    """
    import tensorflow as tf

    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(images, logits), 1)


def kl_divergence(z_mean: Tensor, z_log_var: Tensor) -> Tensor:
    """KL(N(z_mean, exp(z_log_var)) || N(0, I)) in nats; (b, d) twice to (b,). Appendix B of the paper."""
    import tensorflow as tf

    bound = bounded(z_log_var)
    return -0.5 * tf.reduce_sum(1 + bound - tf.square(z_mean) - tf.exp(bound), 1)
