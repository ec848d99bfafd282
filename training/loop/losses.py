"""Compute the loss of a variational autoencoder: cross-entropy, KL divergence, and their means over a data set."""

from collections.abc import Callable
from typing import Any, NamedTuple

from app.imaging.types import ByteArray
from training import seeds
from training.devices import Rows
from training.model.autoencoder import Autoencoder, Tensor, to_pixels


class Losses(NamedTuple):
    """The loss and its two parts, in nats."""

    loss: float
    xent: float
    kl: float

    def plus(self, other: "Losses") -> "Losses":
        """Add the losses, part by part."""
        return Losses(*(a + b for a, b in zip(self, other, strict=True)))

    def over(self, n: int) -> "Losses":
        """Divide the losses by n."""
        return Losses(*(part / n for part in self))


NOTHING = Losses(0.0, 0.0, 0.0)


def sample(
    z_mean: Tensor, z_log_var: Tensor, seed: Tensor, epsilon_std: float = 1.0, rows: Rows | None = None
) -> Tensor:
    """Draw z = z_mean + exp(z_log_var / 2) * eps, eps ~ N(0, epsilon_std^2); equal seeds give equal draws.

    If the images are some `rows` of a batch, eps is the same rows of the whole batch's noise.
    """
    import tensorflow as tf

    shape = (rows.of, z_mean.shape[1]) if rows else tf.shape(z_mean)
    eps = tf.random.stateless_normal(shape, seed, stddev=epsilon_std)
    if rows:
        eps = rows.cut(eps)
    return z_mean + tf.exp(0.5 * z_log_var) * eps


def cross_entropy(images: Tensor, logits: Tensor) -> Tensor:
    """Return the binary cross-entropy in nats, summed over pixels; images (b, p) in [0, 1], logits (b, p) to (b,).

    The sum is p times the mean that `keras.losses.binary_crossentropy` gives. With real-valued pixels it equals the
    expectation under binary pixels drawn with those probabilities, so it is comparable with results on dynamically
    binarised images.
    """
    import tensorflow as tf

    return tf.reduce_sum(tf.nn.softplus(logits) - images * logits, -1)


def kl_divergence(z_mean: Tensor, z_log_var: Tensor) -> Tensor:
    """Return KL(N(z_mean, exp(z_log_var)) || N(0, I)) in nats; (b, d) twice to (b,). Appendix B of the paper."""
    import tensorflow as tf

    return -0.5 * tf.reduce_sum(1 + z_log_var - tf.square(z_mean) - tf.exp(z_log_var), 1)


def elbo_terms(
    model: Autoencoder, pixels: Tensor, seed: Tensor, epsilon_std: float = 1.0, rows: Rows | None = None
) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and KL of images (b, h, w), from one draw of z each; (b,) twice. Their sum is the loss."""
    import tensorflow as tf

    z_mean, z_log_var = model.encoder(pixels)
    logits = model.logits(sample(z_mean, z_log_var, seed, epsilon_std, rows))
    flat = tf.reshape(pixels, tf.shape(logits))
    return cross_entropy(flat, logits), kl_divergence(z_mean, z_log_var)


def compile_losses(model: Autoencoder, images: ByteArray, chunk: int = 1000) -> Callable[[int, int, int], Losses]:
    """Return a function (seed, purpose, draw) giving the mean losses of all images, one sample of z per image.

    Args:
        model: the model; each call uses its present weights.
        images: uint8 (n, h, w).
        chunk: number of images at a time; the result depends on it only through the draws of z.
    """
    import tensorflow as tf

    @tf.function(reduce_retracing=True, autograph=False)
    def sums(batch: Any, seed: Any) -> Any:
        xent, kl = elbo_terms(model, to_pixels(batch), seed)
        return tf.stack([tf.reduce_sum(xent), tf.reduce_sum(kl)])

    def losses(seed: int, purpose: int, draw: int) -> Losses:
        total = NOTHING
        for start in range(0, len(images), chunk):
            batch = tf.constant(images[start : start + chunk])
            xent, kl = sums(batch, seeds.of_draw(seed, purpose, draw, start)).numpy().tolist()
            total = total.plus(Losses(xent + kl, xent, kl))
        return total.over(len(images))

    return losses
