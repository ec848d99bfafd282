"""The training loop: trains an autoencoder from data and a configuration, and records its history.

A run is split into chunks of steps, each one graph call (train_step.py). Between two chunks, progress is reported, the
state may be saved, and an interruption takes effect. Every random number is a function of the seed and the step, so a
resumed run gives bit for bit the weights of an uninterrupted one.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.imaging.types import ByteArray
from training import seeds
from training.config import Config
from training.data.dataset import DataSet
from training.devices import Devices
from training.errors import DataError, Diverged, StateError, TrainingError
from training.loop.checkpoint import Checkpointing, Position, restore
from training.loop.history import Epoch
from training.loop.losses import NOTHING, Losses, compile_losses
from training.loop.train_step import Steps
from training.model.autoencoder import Autoencoder, build

CHUNK = 50  # steps of one graph call: a second or less, so that progress shows and Ctrl-C is heard


@dataclass(frozen=True)
class Progress:
    """The progress of a run, reported before the first step and after every chunk of steps."""

    step: int
    steps: int
    running: Losses  # means of the current epoch so far
    finished: Epoch | None = None  # the epoch that this chunk ended
    warning: str = ""
    model: Autoencoder | None = None  # before the first step, and only then


@dataclass(frozen=True)
class TrainingResult:
    """The result of a finished run."""

    config: Config
    model: Autoencoder  # the running mean of the weights, where the configuration asks for one
    history: list[Epoch]


def train(
    config: Config,
    data: DataSet,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    keeping: Checkpointing | None = None,
    devices: Devices | None = None,
) -> TrainingResult:
    """Train from fresh weights, or from a saved state.

    Args:
        config: the run; `limit` is applied here.
        data: validation uses all of its test images and never changes the weights.
        on_progress: called before the first step and after every chunk of steps; an exception from it ends the run.
        keeping: file and interval for saving the state; by default it is not saved. With several hosts the chief
            saves it, and all resume from it.
        devices: the devices to run on; by default the one that TensorFlow chooses.

    Raises:
        DataError: there are fewer training images than one batch.
        Diverged: the loss is no longer a number.
        StateError: the state to resume from cannot be read, or is another run's.
        TrainingError: the devices cannot share a batch evenly, or the hosts differ in their runs or lose each other.
    """
    devices = devices or Devices()
    devices.check(config.batch_size)
    with devices.watched():
        run = _Run(config, data, on_progress, keeping, devices)
        run.resume()
        run.check_hosts_agree()
        run.begin()
        while run.position.epoch < config.epochs:
            run.run_chunk()
    run.save()  # a publish that fails afterwards can be tried again without training again
    return TrainingResult(config, run.result(), run.position.history)


class _Run:
    def __init__(
        self,
        config: Config,
        data: DataSet,
        on_progress: Callable[[Progress], None],
        keeping: Checkpointing | None,
        devices: Devices,
    ) -> None:
        self.config = config
        self.data = data
        self.devices = devices
        self.images = data.x_train[: config.limit]
        self.per_epoch = len(self.images) // config.batch_size
        if not self.per_epoch:
            raise DataError(f"{len(self.images)} training images do not fill a batch of {config.batch_size}.")
        self.on_progress = on_progress
        self.keeping = keeping
        self.position = Position()
        with devices.scope():
            model = build(config, data.image_shape)
            average = build(config, data.image_shape) if config.average else None
        self.published = average or model
        self.steps = Steps(config, model, average, self.per_epoch, devices)
        self.validate = compile_losses(self.published, data.x_test)
        self.saved_at = self.started = time.monotonic()

    def resume(self) -> None:
        """Restore the latest state, if resuming is requested and there is one."""
        found = self.keeping.file.load() if self.keeping and self.keeping.resume else None
        if not found:
            return
        self.position, arrays = found
        restore(self.steps.variables, arrays)

    def check_hosts_agree(self) -> None:
        """Raise a TrainingError unless all hosts have the same configuration, data and position."""
        at = self.position
        run = self.config.model_dump_json(exclude={"data"})
        if self.devices.hosts > 1 and not self.devices.hosts_agree(f"{run} {self.data.digests} {at.epoch} {at.batch}"):
            raise TrainingError(
                "The hosts are not about to compute the same. Give all of them the same command and data, and, to go "
                "on with an interrupted run, one folder of --runs that they share."
            )

    def begin(self) -> None:
        """Report the model, the step to begin with and the number of steps, before training."""
        at = self.position
        running = at.total.over(at.batch) if at.batch else NOTHING
        self.on_progress(Progress(self._step(), self._steps(), running, model=self.published))

    def _step(self) -> int:
        return self.position.epoch * self.per_epoch + self.position.batch

    def _steps(self) -> int:
        return self.config.epochs * self.per_epoch

    def result(self) -> Autoencoder:
        """Return the model to publish, on one device."""
        if not self.devices.strategy:
            return self.published
        plain = build(self.config, self.data.image_shape)
        for variable, trained in zip(plain.trainable_variables, self.published.trainable_variables, strict=True):
            variable.assign(trained.numpy())
        return plain

    def run_chunk(self) -> None:
        """Run the next steps, and report the progress.

        Raises:
            Diverged: the loss is no longer a number.
        """
        at, size = self.position, self.config.batch_size
        count = min(CHUNK, self.per_epoch - at.batch)
        order = seeds.order(self.config.seed, at.epoch, len(self.images))
        chosen = order[at.batch * size : (at.batch + count) * size]
        batches: ByteArray = self.images[chosen].reshape(count, size, *self.images.shape[1:])
        total = at.total.plus(self.steps.run(batches, at.epoch, at.batch))
        running = total.over(at.batch + count)
        if not math.isfinite(running.loss):
            raise Diverged(f"The loss became {running.loss} in epoch {at.epoch + 1}. Try a smaller learning rate.")
        finished = None
        if at.batch + count == self.per_epoch:
            finished = self._finish_epoch(running)
        else:
            self.position = Position(at.epoch, at.batch + count, total, at.history)
        due = time.monotonic() - self.saved_at >= (self.keeping.every_s if self.keeping else math.inf)
        warning = self.save() if due else ""
        self.on_progress(Progress(self._step(), self._steps(), running, finished, warning))

    def _finish_epoch(self, running: Losses) -> Epoch:
        epoch, history = self.position.epoch, self.position.history
        seconds = time.monotonic() - self.started
        row = Epoch(epoch + 1, running, self.validate(self.config.seed, seeds.VALIDATION, epoch), seconds)
        self.position = Position(epoch + 1, 0, NOTHING, [*history, row])
        self.started = time.monotonic()
        return row

    def save(self) -> str:
        """Save the state, if that is enabled and this is the chief; return a warning if that fails, else "".

        Training goes on after a failure: a run is worth more than its state.
        """
        if not self.keeping or not self.devices.chief:
            return ""
        try:
            self.keeping.file.save(self.position, [variable.numpy() for variable in self.steps.variables])
        except StateError as exc:
            return f"{exc.detail} Training goes on; the state before is kept."
        finally:
            self.saved_at = time.monotonic()
        return ""
