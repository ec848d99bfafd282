"""The metrics of a trained model, as the manifest records them. Deterministic for a given seed."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from app.imaging.types import ByteArray, FloatArray
from training import seeds
from training.data.dataset import DataSet
from training.loop.losses import compile_losses, cross_entropy
from training.model.autoencoder import Autoencoder, to_pixels

DRAWS = 5
SAMPLES = 500
NEIGHBOURS = 10
ACTIVE = 0.01  # variance of z_mean over the data above which a latent unit is used (Burda et al. 2015)


def evaluate(
    model: Autoencoder,
    data: DataSet,
    seed: int,
    limit: int | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> dict[str, float]:
    """Compute the metrics of a model on the test images; docs/training.md defines each.

    Args:
        model: Keras models, or the functions read back from the store.
        data: the data set.
        seed: seed of every draw.
        limit: number of training images to search for nearest neighbours: those that the model was trained on.
        on_progress: called with the share of the work done, 0 to 1.
    """
    losses = compile_losses(model, data.x_test)
    draws = [losses(seed, seeds.EVALUATION, draw) for draw in range(DRAWS)]
    z_test = posterior_means(model, data.x_test)
    measures = {
        "test_loss": _mean([draw.loss for draw in draws]),
        "test_loss_std": float(np.std([draw.loss for draw in draws])),
        "test_xent": _mean([draw.xent for draw in draws]),
        "test_xent_std": float(np.std([draw.xent for draw in draws])),
        "test_kl": _mean([draw.kl for draw in draws]),
        "draws": float(DRAWS),
        "nll": importance_weighted_nll(model, data.x_test, seed, on_progress),
        "nll_samples": float(SAMPLES),
        "active_units": float((z_test.var(0) > ACTIVE).sum()),
        "reconstruction_mse": _squared_error(model, data.x_test),
    }
    if data.y_train is not None and data.y_test is not None:
        seen = slice(0, limit)
        z_train = posterior_means(model, data.x_train[seen])
        measures["knn_accuracy"] = neighbour_accuracy(z_train, data.y_train[seen], z_test, data.y_test)
    return measures


def posterior_means(model: Autoencoder, images: ByteArray) -> FloatArray:
    """Return z_mean, float32 (n, d), of images, uint8 (n, h, w)."""
    return _in_chunks(lambda pixels: model.encoder(pixels)[0], images)


def reconstructions(model: Autoencoder, images: ByteArray) -> FloatArray:
    """Reconstruct images, uint8 (n, h, w), from their z_mean; return float32 (n, h, w)."""
    return _in_chunks(lambda pixels: model.generator(model.encoder(pixels)[0]), images)


def importance_weighted_nll(
    model: Autoencoder, images: ByteArray, seed: int, on_progress: Callable[[float], None] = lambda share: None
) -> float:
    """Estimate an upper bound of the negative log-likelihood, nats per image, from `SAMPLES` samples of z per image.

    -log mean_k p(x | z_k) p(z_k) / q(z_k | x), z_k ~ q(z | x): Burda, Grosse, Salakhutdinov, "Importance weighted
    autoencoders" (2015), equation 8. Images are grey levels, uint8 (n, h, w); a few samples are drawn at a time.
    """
    import tensorflow as tf

    bound = tf.function(_importance_bound, jit_compile=True, reduce_retracing=True, autograph=False)
    total, chunk = 0.0, 50
    for start in range(0, len(images), chunk):
        batch = tf.constant(images[start : start + chunk])
        draw = seeds.of_draw(seed, seeds.IMPORTANCE, 0, start)
        total += float(tf.reduce_sum(bound(model, to_pixels(batch), draw)))
        on_progress(min(1.0, (start + chunk) / len(images)))
    return -total / len(images)


def _importance_bound(model: Autoencoder, pixels: Any, seed: Any) -> Any:
    """Return log mean_k w_k for every image of a batch; (b,)."""
    import tensorflow as tf

    z_mean, z_log_var = model.encoder(pixels)
    n, d = tf.shape(z_mean)[0], z_mean.shape[1]  # the last batch may be smaller than the others
    flat = tf.reshape(pixels, (n, 1, -1))
    groups, size = 10, SAMPLES // 10  # (n * size) rows of the generator at a time

    def log_weights(group: Any) -> Any:
        eps = tf.random.stateless_normal((n, size, d), seeds.of_draw(0, seed[0], seed[1], group))
        z = z_mean[:, tf.newaxis] + tf.exp(0.5 * z_log_var)[:, tf.newaxis] * eps  # (n, size, d)
        logits = tf.reshape(model.logits(tf.reshape(z, (n * size, d))), (n, size, -1))
        # log p(z) - log q(z | x): the normalising constants of both are the same
        prior = 0.5 * tf.reduce_sum(tf.square(eps) + z_log_var[:, tf.newaxis] - tf.square(z), -1)
        return prior - cross_entropy(flat, logits)

    weights = tf.map_fn(log_weights, tf.range(groups), fn_output_signature=tf.float32)  # (groups, n, size)
    return tf.reduce_logsumexp(weights, (0, 2)) - math.log(SAMPLES)


def neighbour_accuracy(z_train: FloatArray, y_train: ByteArray, z_test: FloatArray, y_test: ByteArray) -> float:
    """Return the share of test points whose class the nearest training points in the latent space predict."""
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(min(NEIGHBOURS, len(z_train))).fit(z_train, y_train)
    return float(classifier.score(z_test, y_test))


def _squared_error(model: Autoencoder, images: ByteArray) -> float:
    """Return the mean squared error, over images and pixels, of the reconstructions at z_mean."""
    return float(np.mean(np.square(reconstructions(model, images) - images / np.float32(255))))


def _mean(numbers: list[float]) -> float:
    return float(np.mean(numbers))


def _in_chunks(call: Any, images: ByteArray, chunk: int = 2000) -> FloatArray:
    parts = [
        np.asarray(call(images[start : start + chunk].astype(np.float32) / np.float32(255)))
        for start in range(0, len(images), chunk)
    ]
    return np.concatenate(parts)
