"""The encoder and the generator of the variational autoencoder.

Kingma and Welling, "Auto-Encoding Variational Bayes" (2013). Shapes: b images of h x w pixels, latent size d.
"""

from dataclasses import dataclass
from typing import Any

from training.config import Config

Tensor = Any  # TensorFlow ships no types

# Standard deviations of 0.0025 to 7.4. Left to itself the log-variance of a single odd image may run away; its exp()
# then dwarfs the loss of a whole epoch, or ends the run with NaN.
LOG_VAR_RANGE = (-12.0, 4.0)


@dataclass(frozen=True)
class Autoencoder:
    """The encoder, the generator, and the generator without its last sigmoid, for a numerically stable loss.

    They are Keras models while training, and functions with the same arguments and results when read back from the
    store.
    """

    encoder: Any  # image (b, h, w) in [0, 1] -> z_mean (b, d), z_log_var (b, d)
    generator: Any  # z (b, d) -> image (b, h, w) in [0, 1]
    logits: Any  # z (b, d) -> (b, h * w); its weights are `generator`'s

    @property
    def trainable_variables(self) -> list[Any]:
        """All trainable weights, the encoder's first."""
        return [*self.encoder.trainable_variables, *self.generator.trainable_variables]


def build(config: Config, image_shape: tuple[int, int]) -> Autoencoder:
    """Build a freshly initialised autoencoder; equal seeds give equal weights."""
    import keras

    keras.utils.set_random_seed(config.seed)
    return Autoencoder(_encoder(config, image_shape), *_generator(config, image_shape))


def summary(model: Autoencoder, config: Config, image_shape: tuple[int, int]) -> tuple[str, str]:
    """Describe the encoder and the generator in a line each: units of the layers, and number of parameters."""
    d, pixels = config.latent_dim, image_shape[0] * image_shape[1]
    features = [2 * config.fourier_features] if config.fourier_features else []
    encoder = [pixels, *config.encoder_units, f"{d}+{d}"]
    generator = [d, *features, *config.generator_units, pixels]
    return (
        f"encoder:   {'-'.join(map(str, encoder))} units, {model.encoder.count_params():,} parameters",
        f"generator: {'-'.join(map(str, generator))} units, {model.generator.count_params():,} parameters",
    )


def _encoder(config: Config, image_shape: tuple[int, int]) -> Any:
    import keras

    from training.model.layers import Bound

    image = keras.Input(image_shape, name="image")
    hidden = _hidden(config, config.encoder_units, keras.layers.Flatten()(image))
    z_mean = keras.layers.Dense(config.latent_dim, name="z_mean")(hidden)
    unbounded = keras.layers.Dense(config.latent_dim, name="unbounded_log_var", **_start(config))(hidden)
    z_log_var = Bound(*LOG_VAR_RANGE, name="z_log_var")(unbounded)
    return keras.Model(image, [z_mean, z_log_var], name="encoder")


def _generator(config: Config, image_shape: tuple[int, int]) -> tuple[Any, Any]:
    import keras

    from training.model.layers import FourierFeatures

    height, width = image_shape
    z = keras.Input((config.latent_dim,), name="z")
    features = FourierFeatures(config.fourier_features, config.fourier_scale)(z) if config.fourier_features else z
    hidden = _hidden(config, config.generator_units, features)
    logits = keras.layers.Dense(height * width, name="logits")(hidden)
    image = keras.layers.Reshape(image_shape)(keras.layers.Activation("sigmoid")(logits))
    return keras.Model(z, image, name="generator"), keras.Model(z, logits, name="logits")


def _hidden(config: Config, units: tuple[int, ...], tensor: Any) -> Any:
    import keras

    for width in units:
        tensor = keras.layers.Dense(width, config.activation, kernel_initializer=config.initializer)(tensor)
    return tensor


def _start(config: Config) -> dict[str, Any]:
    """Return initialisers with which z_log_var starts near `initial_log_var`; none if that is not set."""
    import keras

    if config.initial_log_var is None:
        return {}
    return {
        "kernel_initializer": keras.initializers.RandomNormal(0.0, 0.01),
        "bias_initializer": keras.initializers.Constant(config.initial_log_var),
    }


def to_pixels(images: Tensor) -> Tensor:
    """Convert grey levels, uint8, to float32 in [0, 1]."""
    import tensorflow as tf

    return tf.cast(images, tf.float32) / 255
