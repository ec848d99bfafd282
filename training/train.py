"""The loop: data and configuration in, a trained autoencoder and its history out.

The images stay in memory as bytes; a whole stretch of steps is one graph, its step compiled by XLA, so that no
Python runs between steps. Every random number is a function of the seed and the step: shuffling, noise and weights
are the same in every run, however the run is cut into stretches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from training.config import Config
from training.data import DataSet
from training.errors import DataError, Diverged
from training.model import Autoencoder, build, cross_entropy, kl_divergence, sample

STRETCH = 100  # steps of one graph call: a fraction of a second, so that progress shows and Ctrl-C is heard

# What a stateless random draw is for, as the first half of its seed together with the run's seed.
SHUFFLE, NOISE, VALIDATION = 1, 2, 3


class Losses(NamedTuple):
    """Means over images, in nats: the loss and its two parts."""

    loss: float
    xent: float
    kl: float


@dataclass(frozen=True)
class Epoch:
    """One row of the history."""

    epoch: int  # from 1
    train: Losses  # over the epoch's batches, as the weights moved
    validation: Losses  # of the test images, one draw of z each, after the epoch
    seconds: float  # of the steps, without validation


@dataclass(frozen=True)
class Progress:
    """Where a run stands, told after every stretch of steps."""

    step: int
    steps: int
    running: Losses  # of the current epoch so far
    finished: Epoch | None  # the epoch that this stretch ended


@dataclass(frozen=True)
class Trained:
    """A finished run."""

    config: Config
    model: Autoencoder
    history: list[Epoch]


def train(config: Config, data: DataSet, tell: Callable[[Progress], None] = lambda progress: None) -> Trained:
    """Train from fresh weights.

    Args:
        config: the run; `limit` is applied here.
        data: validation uses all of its test images and never changes the weights.
        tell: called after every stretch of steps; an exception from it ends the run.

    Raises:
        DataError: there are fewer training images than one batch.
        Diverged: the loss is no longer a number.
    """
    import tensorflow as tf

    x_train = data.x_train[: config.limit]
    per_epoch = len(x_train) // config.batch_size
    if not per_epoch:
        raise DataError(f"{len(x_train)} training images do not fill a batch of {config.batch_size}.")
    model = build(config, data.image_shape)
    stretch = _compile_steps(config, model, tf.constant(x_train))
    validate = compile_losses(model, tf.constant(data.x_test))
    history: list[Epoch] = []
    for epoch in range(config.epochs):
        total, started = Losses(0.0, 0.0, 0.0), time.perf_counter()
        for first in range(0, per_epoch, STRETCH):
            count = min(STRETCH, per_epoch - first)
            total = Losses(*(a + b for a, b in zip(total, stretch(epoch, first, count), strict=True)))
            done, finished = first + count, None
            running = Losses(*(part / done for part in total))
            if not math.isfinite(running.loss):
                raise Diverged(f"The loss became {running.loss} in epoch {epoch + 1}. Try a smaller learning rate.")
            if done == per_epoch:
                seconds = time.perf_counter() - started
                finished = Epoch(epoch + 1, running, validate(config.seed, VALIDATION, epoch), seconds)
                history.append(finished)
            tell(Progress(epoch * per_epoch + done, config.epochs * per_epoch, running, finished))
    return Trained(config, model, history)


def _compile_steps(config: Config, model: Autoencoder, images: Any) -> Callable[[int, int, int], Losses]:
    """A function (epoch, first, count) that runs `count` steps of an epoch; sums of the batches' mean losses.

    Args:
        config: batch size, noise and optimizer.
        model: its weights are changed in place.
        images: uint8 (n, h, w), in device memory for the whole run.
    """
    import tensorflow as tf

    step = _compile_step(config, model)
    size = config.batch_size
    n = images.shape[0]

    @tf.function(reduce_retracing=True)
    def run(epoch: Any, first: Any, count: Any) -> Any:
        order = tf.random.experimental.stateless_shuffle(tf.range(n), _seed(config.seed, SHUFFLE, epoch, 0))
        total = tf.zeros(2)
        for i in tf.range(first, first + count):
            batch = tf.gather(images, order[i * size : (i + 1) * size])  # (b, h, w)
            batch = tf.ensure_shape(batch, (size, *images.shape[1:]))
            total += step(batch, _seed(config.seed, NOISE, epoch, i))
        return total

    def stretch(epoch: int, first: int, count: int) -> Losses:
        xent, kl = run(*(tf.constant(number, tf.int32) for number in (epoch, first, count))).numpy().tolist()
        return Losses(xent + kl, xent, kl)

    return stretch


def _compile_step(config: Config, model: Autoencoder) -> Callable[[Any, Any], Any]:
    """One step of the optimizer on a batch uint8 (b, h, w): its mean cross-entropy and KL divergence, (2,)."""
    import tensorflow as tf

    optimizer = _optimizer(config)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def step(batch: Any, seed: Any) -> Any:
        with tf.GradientTape() as tape:
            xent, kl = _parts(model, batch, seed, config.epsilon_std)
            loss = xent + kl
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return tf.stack([xent, kl])

    compiled: Callable[[Any, Any], Any] = step
    return compiled


def _optimizer(config: Config) -> Any:
    import keras

    return keras.optimizers.get({"class_name": config.optimizer, "config": {"learning_rate": config.learning_rate}})


def _parts(model: Autoencoder, batch: Any, seed: Any, epsilon_std: float) -> tuple[Any, Any]:
    """Mean cross-entropy and mean KL divergence of a batch uint8 (b, h, w), one draw of z per image."""
    import tensorflow as tf

    pixels = tf.cast(batch, tf.float32) / 255
    z_mean, z_log_var = model.encoder(pixels)
    logits = model.logits(sample(z_mean, z_log_var, seed, epsilon_std))
    flat = tf.reshape(pixels, tf.shape(logits))
    return tf.reduce_mean(cross_entropy(flat, logits)), tf.reduce_mean(kl_divergence(z_mean, z_log_var))


def compile_losses(model: Autoencoder, images: Any, chunk: int = 1000) -> Callable[[int, int, int], Losses]:
    """A function (seed, purpose, draw) giving the mean losses of all `images`, one draw of z per image.

    Args:
        model: its weights as they are at each call.
        images: uint8 (n, h, w).
        chunk: images at a time; the result depends on it only through the draws of z.
    """
    import tensorflow as tf

    n = images.shape[0]

    @tf.function(reduce_retracing=True)
    def run(seed: Any, purpose: Any, draw: Any) -> Any:
        total = tf.zeros(2)
        for start in tf.range(0, n, chunk):
            batch = images[start : start + chunk]
            xent, kl = _parts(model, batch, _seed(seed, purpose, draw, start), 1.0)
            total += tf.stack([xent, kl]) * tf.cast(tf.shape(batch)[0], tf.float32)
        return total / n

    def losses(seed: int, purpose: int, draw: int) -> Losses:
        xent, kl = run(*(tf.constant(number, tf.int32) for number in (seed, purpose, draw))).numpy().tolist()
        return Losses(xent + kl, xent, kl)

    return losses


def _seed(seed: Any, purpose: Any, major: Any, minor: Any) -> Any:
    """The seed (2,) of one stateless draw, different for every purpose and every step of a run."""
    import tensorflow as tf

    mixed = tf.random.experimental.stateless_fold_in(tf.stack([seed, purpose]), major)
    return tf.random.experimental.stateless_fold_in(mixed, minor)
