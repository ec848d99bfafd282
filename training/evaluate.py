"""How good a model is: the measures of the manifest. Deterministic for a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.images import ByteArray, FloatArray
from training.config import Config
from training.data import DataSet
from training.model import Autoencoder
from training.train import compile_losses

DRAWS = 5
EVALUATION = 4  # the purpose of these random draws, beside those in train.py
NEIGHBOURS = 10
ACTIVE = 0.01  # variance of z_mean over the data above which a latent unit is used (Burda et al. 2015)


def evaluate(config: Config, model: Autoencoder, data: DataSet) -> dict[str, float]:
    """The measures of a model, nats per test image where the name does not say else.

    `test_loss` is the mean over the test images of cross-entropy plus KL divergence with one draw of z per image,
    averaged over `draws` draws; `test_loss_std` is the standard deviation between the draws.
    """
    import tensorflow as tf

    losses = compile_losses(model, tf.constant(data.x_test))
    draws = [losses(config.seed, EVALUATION, draw) for draw in range(DRAWS)]
    seen = slice(0, config.limit)
    z_train, z_test = posterior_means(model, data.x_train[seen]), posterior_means(model, data.x_test)
    return {
        "test_loss": float(np.mean([draw.loss for draw in draws])),
        "test_loss_std": float(np.std([draw.loss for draw in draws])),
        "test_xent": float(np.mean([draw.xent for draw in draws])),
        "test_kl": float(np.mean([draw.kl for draw in draws])),
        "draws": float(DRAWS),
        "knn_accuracy": neighbour_accuracy(z_train, data.y_train[seen], z_test, data.y_test),
        "active_units": float((z_test.var(0) > ACTIVE).sum()),
    }


def posterior_means(model: Autoencoder, images: ByteArray) -> FloatArray:
    """z_mean of images uint8 (n, h, w); float32 (n, d)."""
    return _in_chunks(lambda pixels: model.encoder(pixels)[0], images)


def reconstructions(model: Autoencoder, images: ByteArray) -> FloatArray:
    """The generator at z_mean of images uint8 (n, h, w); float32 (n, h, w)."""
    return _in_chunks(lambda pixels: model.generator(model.encoder(pixels)[0]), images)


def neighbour_accuracy(z_train: FloatArray, y_train: ByteArray, z_test: FloatArray, y_test: ByteArray) -> float:
    """Share of test points whose class the nearest training points in the latent space tell."""
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(min(NEIGHBOURS, len(z_train))).fit(z_train, y_train)
    return float(classifier.score(z_test, y_test))


def _in_chunks(call: Any, images: ByteArray, chunk: int = 2000) -> FloatArray:
    parts = [
        np.asarray(call(images[start : start + chunk].astype(np.float32) / np.float32(255)))
        for start in range(0, len(images), chunk)
    ]
    return np.concatenate(parts)
