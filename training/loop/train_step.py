"""The compiled part of training: a chunk of optimizer steps as one graph, in which XLA compiles the step.

train.py passes the images of one chunk at a time; no Python runs between the steps of a chunk. On several devices XLA
compiles the part that each computes alone, the gradients; Keras' optimizer sums them over the devices and takes the
step. Loops are operations of the graph, and AutoGraph is off throughout training: if it cannot translate Python, for
instance because a warning is an error, it silently builds another graph.
"""

from collections.abc import Callable
from typing import Any

from app.imaging.types import ByteArray
from training import seeds
from training.config import Config
from training.data.augmentation import augment
from training.devices import Devices, Rows
from training.loop import optimizer
from training.loop.losses import Losses, elbo_terms
from training.model.autoencoder import Autoencoder, to_pixels


class Steps:
    """The optimizer steps, and the state that they change.

    Args:
        config: the run.
        model: the model, trained in place.
        average: a second model that holds the running mean of the first one's weights; None without averaging.
        steps_per_epoch: batches in an epoch, for the learning rate.
        devices: the devices that run the steps; the models were created on them too.
    """

    def __init__(
        self,
        config: Config,
        model: Autoencoder,
        average: Autoencoder | None,
        steps_per_epoch: int,
        devices: Devices | None = None,
    ) -> None:
        self._config = config
        self._devices = devices or Devices()
        self._model = model
        self._weights = model.trainable_variables
        self._averages = average.trainable_variables if average else []
        with self._devices.scope():
            self._optimizer = optimizer.build(config, self._weights, steps_per_epoch)
        self._run = self._compile()

    @property
    def variables(self) -> list[Any]:
        """All variables that a later step depends on."""
        return [*self._weights, *self._averages, *self._optimizer.variables]

    def run(self, batches: ByteArray, epoch: int, first: int) -> Losses:
        """Take a step for each of the batches, uint8 (count, b, h, w); return the sums of the batches' mean losses.

        Args:
            batches: consecutive batches of the epoch, from number `first` on.
            epoch: number of the epoch, from 0; with the batch's number it determines the noise.
            first: number of the first batch in the epoch, from 0.
        """
        import tensorflow as tf

        where = (tf.constant(number, tf.int32) for number in (epoch, first))
        xent, kl = self._run(tf.constant(batches), *where).numpy().tolist()
        return Losses(xent + kl, xent, kl)

    def _compile(self) -> Callable[..., Any]:
        import tensorflow as tf

        alone = tf.function(self._step, jit_compile=True, autograph=False)
        step = self._shared_step() if self._devices.strategy else alone

        @tf.function(reduce_retracing=True, autograph=False)
        def run(batches: Any, epoch: Any, first: Any) -> Any:
            count = tf.shape(batches)[0]

            def one(i: Any, total: Any) -> tuple[Any, Any]:
                return i + 1, total + step(batches[i], epoch, first + i)

            return tf.while_loop(lambda i, total: i < count, one, (0, tf.zeros(2)))[1]

        compiled: Callable[..., Any] = run
        return compiled

    def _step(self, batch: Any, epoch: Any, number: Any) -> Any:
        """Take one step on a batch, uint8 (b, h, w); return its mean cross-entropy and KL, (2,)."""
        losses, gradients = self._gradients(to_pixels(batch), epoch, number)
        self._optimizer.apply(gradients, self._weights)
        self._follow()
        return losses

    def _shared_step(self) -> Callable[..., Any]:
        """Return the same step with each device on its rows of the batch; collectives stay outside of XLA's graph."""
        import tensorflow as tf

        strategy, n = self._devices.strategy, self._devices.count

        @tf.function(jit_compile=True, autograph=False)
        def share(batch: Any, epoch: Any, number: Any, rank: Any) -> Any:
            rows = Rows.of_rank(rank, n, batch.shape[0])
            losses, gradients = self._gradients(to_pixels(rows.cut(batch)), epoch, number, rows)
            return losses / n, [gradient / n for gradient in gradients]

        def on_device(batch: Any, epoch: Any, number: Any) -> Any:
            rank = tf.distribute.get_replica_context().replica_id_in_sync_group
            losses, gradients = share(batch, epoch, number, tf.convert_to_tensor(rank))
            self._optimizer.apply(gradients, self._weights)  # it sums them over the devices first
            return losses

        def step(batch: Any, epoch: Any, number: Any) -> Any:
            losses = strategy.run(on_device, (batch, epoch, number))
            self._follow()
            return strategy.reduce("SUM", losses, axis=None)

        return step

    def _follow(self) -> None:
        """Update the running means of the weights."""
        import tensorflow as tf

        done = tf.cast(self._optimizer.iterations.value, tf.float32)
        decay = tf.minimum(self._config.average, (1 + done) / (10 + done))  # a young mean forgets its start faster
        for mean, weight in zip(self._averages, self._weights, strict=bool(self._averages)):
            mean.assign(decay * mean + (1 - decay) * weight)

    def _gradients(self, pixels: Any, epoch: Any, number: Any, rows: Rows | None = None) -> tuple[Any, list[Any]]:
        import tensorflow as tf

        config, model = self._config, self._model

        def seed(purpose: int) -> Any:
            return seeds.of_draw(config.seed, purpose, epoch, number)

        with tf.GradientTape(persistent=bool(config.warp)) as tape:
            losses = elbo_terms(model, pixels, seed(seeds.NOISE), config.epsilon_std, rows)
            xent, kl = (tf.reduce_mean(part) for part in losses)
            loss = xent + kl
            if config.warp:
                warped = augment(pixels, seed(seeds.WARP), config.warp, rows)
                extra = elbo_terms(model, warped, seed(seeds.WARPED_NOISE), config.epsilon_std, rows)
                both = loss + tf.reduce_mean(extra[0] + extra[1])
        if not config.warp:
            return tf.stack([xent, kl]), tape.gradient(loss, self._weights)
        # The encoder learns from both, the generator from the true images alone. The factor comes after the
        # gradient, so that what both gradients share is the same computation and is done once.
        encoder, generator = model.encoder.trainable_variables, model.generator.trainable_variables
        halves = [gradient / 2 for gradient in tape.gradient(both, encoder)]
        return tf.stack([xent, kl]), [*halves, *tape.gradient(loss, generator)]
