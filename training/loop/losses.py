"""The loss of a variational autoencoder and its two parts, and their means over a data set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from app.imaging.types import ByteArray
from training import seeds
from training.model.autoencoder import Autoencoder, elbo_terms, to_pixels


class Losses(NamedTuple):
    """The loss and its two parts, in nats."""

    loss: float
    xent: float
    kl: float

    def plus(self, other: Losses) -> Losses:
        """The sums."""
        return Losses(*(a + b for a, b in zip(self, other, strict=True)))

    def over(self, n: int) -> Losses:
        """The shares."""
        return Losses(*(part / n for part in self))


NOTHING = Losses(0.0, 0.0, 0.0)


def compile_losses(model: Autoencoder, images: ByteArray, chunk: int = 1000) -> Callable[[int, int, int], Losses]:
    """A function (seed, purpose, draw) giving the mean losses of all images, one draw of z per image.

    Args:
        model: its weights as they are at each call.
        images: uint8 (n, h, w).
        chunk: images at a time; the result depends on it only through the draws of z.
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
