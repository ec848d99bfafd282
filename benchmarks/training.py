"""The notebook preset's epochs on this loop and on plain `Model.fit`, in turn in one run.

    python benchmarks/training.py [--data mnist|mnist-5k|PATH] [--rounds 2] [--epochs 20]

Prints seconds per epoch (medians), their ratio, the test loss that each reaches, and the share of the machine's own
matmul peak that training reaches.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from training.config import PRESETS, Config
from training.data.dataset import DataSet
from training.data.datasets import load
from training.loop.losses import compile_losses
from training.loop.train import train
from training.model.autoencoder import Autoencoder, build


def main() -> None:
    """Run both, print the comparison."""
    parser = argparse.ArgumentParser(description="This loop against plain Model.fit.")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    data = load(options.data)
    ours: list[float] = []
    theirs: list[float] = []
    for i in range(options.rounds):
        config = PRESETS["notebook"].model_copy(update={"seed": i, "epochs": options.epochs})
        our_loss, our_seconds = this_loop(config, data)
        their_loss, their_seconds = model_fit(config, data)
        ours += our_seconds[1:]  # the first epoch compiles
        theirs += their_seconds[1:]
        print(f"round {i + 1}: test loss {our_loss:.2f} here, {their_loss:.2f} with Model.fit", flush=True)
    report(PRESETS["notebook"], data, statistics.median(ours), statistics.median(theirs))


def this_loop(config: Config, data: DataSet) -> tuple[float, list[float]]:
    """Test loss, and seconds of every epoch."""
    trained = train(config, data)
    return test_loss(trained.model, data), [row.seconds for row in trained.history]


def model_fit(config: Config, data: DataSet) -> tuple[float, list[float]]:
    """Train the same network with the same loss, optimizer and batches in Keras' own loop."""
    model = build(config, data.image_shape)
    pixels = data.x_train[: config.limit].astype(np.float32) / 255
    network = keras_model(model, config)
    network.compile(optimizer="rmsprop")
    clock = Clock()
    network.fit(pixels, epochs=config.epochs, batch_size=config.batch_size, verbose=0, callbacks=[clock.callback()])
    return test_loss(model, data), clock.seconds


def keras_model(model: Autoencoder, config: Config) -> Any:
    """Build a keras.Model whose train_step is that of Keras' own VAE example."""
    import keras
    import tensorflow as tf

    class Network(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.logits = model.encoder, model.logits
            self.noise = keras.random.SeedGenerator(config.seed)

        def train_step(self, images: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                z_mean, z_log_var = self.encoder(images, training=True)
                eps = keras.random.normal(keras.ops.shape(z_mean), seed=self.noise)
                logits = self.logits(z_mean + keras.ops.exp(z_log_var / 2) * eps, training=True)
                flat = keras.ops.reshape(images, (-1, 784))
                xent = 784 * keras.losses.binary_crossentropy(flat, logits, from_logits=True)
                kl = -0.5 * keras.ops.sum(1 + z_log_var - z_mean**2 - keras.ops.exp(z_log_var), -1)
                loss = keras.ops.mean(xent + kl)
            self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
            return {"loss": loss}

    network = Network()
    network.build((None, 28, 28))
    return network


class Clock:
    """Seconds of every epoch of a fit."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def callback(self) -> Any:
        """Make a Keras callback that fills `seconds`."""
        import keras

        started = [0.0]

        def begin(epoch: int, logs: Any) -> None:
            started[0] = time.perf_counter()

        def end(epoch: int, logs: Any) -> None:
            self.seconds.append(time.perf_counter() - started[0])

        return keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)


def test_loss(model: Autoencoder, data: DataSet) -> float:
    """Over five draws, as the manifest has it."""
    losses = compile_losses(model, data.x_test)
    return statistics.mean(losses(0, 0, draw).loss for draw in range(5))


def peak_flops() -> float:
    """Multiplications and additions a second of a large float32 matrix product, the best of ten."""
    import tensorflow as tf

    n = 2048
    a, b = tf.random.normal((n, n)), tf.random.normal((n, n))
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        tf.linalg.matmul(a, b).numpy()
        best = min(best, time.perf_counter() - started)
    return 2 * n**3 / best


def report(config: Config, data: DataSet, ours: float, theirs: float) -> None:
    """Print seconds, ratio and share of the peak."""
    model = build(config, data.image_shape)
    weights = sum(int(np.prod(v.shape)) for v in model.trainable_variables if len(v.shape) > 1)
    images = len(data.x_train[: config.limit])
    flops = 6 * weights * images / ours  # a product forward, two backward, a multiplication and an addition each
    print(f"seconds per epoch of {images:,} images: {ours:.3f} here, {theirs:.3f} with Model.fit")
    print(f"ratio: {theirs / ours:.2f}")
    peak = peak_flops()
    print(f"matmul: {flops / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s, {flops / peak:.0%} of the machine's peak")


if __name__ == "__main__":
    main()
