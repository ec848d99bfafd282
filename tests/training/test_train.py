from __future__ import annotations

import numpy as np
import pytest

from training.config import PRESETS, Config
from training.data import DataSet, load
from training.errors import DataError, Diverged

pytestmark = pytest.mark.slow

SMALL = Config(epochs=3, encoder_units=(64,), generator_units=(64,), batch_size=20, seed=5)


@pytest.fixture(scope="module")
def digits() -> DataSet:
    """A handful of real digits."""
    whole = load("mnist-5k")
    return DataSet("few", whole.x_train[:600], whole.y_train[:600], whole.x_test[:200], whole.y_test[:200])


def weights(trained):
    return [variable.numpy() for variable in trained.model.trainable_variables]


def test_the_presets_are_the_notebooks():
    from training.model import build

    for name, limit, epochs in (("notebook", 20_000, 20), ("notebook-full", None, 50)):
        config = PRESETS[name]
        assert (config.limit, config.epochs, config.batch_size) == (limit, epochs, 100)
        assert (config.optimizer, config.epsilon_std) == ("rmsprop", 1)
        model = build(config, (28, 28))
        shapes = [tuple(variable.shape) for variable in model.trainable_variables]
        assert shapes == [(784, 256), (256,), (256, 2), (2,), (256, 2), (2,), (2, 256), (256,), (256, 784), (784,)]
        activations = [getattr(layer, "activation", None) for layer in model.encoder.layers]
        assert [activation.__name__ for activation in activations if activation] == ["relu", "linear", "linear"]


def test_the_optimizer_is_keras_rmsprop_with_its_defaults():
    import keras

    from training.train import _optimizer

    ours, theirs = _optimizer(PRESETS["notebook"]), keras.optimizers.RMSprop()
    assert type(ours) is type(theirs)
    assert ours.get_config() | {"name": ""} == theirs.get_config() | {"name": ""}


def test_the_loss_is_784_times_keras_binary_cross_entropy_plus_the_notebooks_kl():
    import keras
    import tensorflow as tf

    from training.model import cross_entropy, kl_divergence

    rng = np.random.default_rng(0)
    x, logits = rng.random((5, 784), np.float32), rng.normal(0, 2, (5, 784)).astype(np.float32)
    expected = 784 * keras.losses.binary_crossentropy(x, tf.sigmoid(logits)).numpy()
    assert np.allclose(cross_entropy(x, logits), expected, rtol=1e-4)
    mean, log_var = rng.normal(0, 1, (2, 5, 2)).astype(np.float32)
    expected = -0.5 * (1 + log_var - mean**2 - np.exp(log_var)).sum(1)
    assert np.allclose(kl_divergence(mean, log_var), expected, rtol=1e-5)


def test_one_step_is_the_step_that_plain_keras_takes(digits):
    """The compiled loop against an eager gradient and Keras' optimizer, from the same weights and noise."""
    import keras
    import tensorflow as tf

    from training.model import build, cross_entropy, kl_divergence, sample
    from training.train import NOISE, SHUFFLE, _compile_steps, _seed

    model, other = build(SMALL, (28, 28)), build(SMALL, (28, 28))
    _compile_steps(SMALL, model, tf.constant(digits.x_train))(0, 0, 1)

    order = tf.random.experimental.stateless_shuffle(tf.range(600), _seed(SMALL.seed, SHUFFLE, 0, 0))
    pixels = tf.cast(tf.gather(digits.x_train, order[:20]), tf.float32) / 255
    with tf.GradientTape() as tape:
        z_mean, z_log_var = other.encoder(pixels)
        # XLA draws other numbers from a seed than the plain kernel does.
        draw = tf.function(sample, jit_compile=True)
        logits = other.logits(draw(z_mean, z_log_var, _seed(SMALL.seed, NOISE, 0, 0)))
        loss = tf.reduce_mean(cross_entropy(tf.reshape(pixels, (20, 784)), logits) + kl_divergence(z_mean, z_log_var))
    variables = other.trainable_variables
    gradients = tape.gradient(loss, variables)
    keras.optimizers.RMSprop().apply(gradients, variables)
    for ours, theirs, gradient in zip(model.trainable_variables, variables, gradients, strict=True):
        # The first step of RMSprop is nearly the gradient's sign, which rounding decides where it is about zero.
        clear = np.abs(gradient.numpy()) > 1e-4
        assert clear.mean() > 0.3
        assert np.abs(ours.numpy() - theirs.numpy())[clear].max() < 2e-5


def test_an_epoch_sees_every_image_once(digits):
    import tensorflow as tf

    from training.train import SHUFFLE, _seed

    order = tf.random.experimental.stateless_shuffle(tf.range(600), _seed(1, SHUFFLE, 3, 0)).numpy()
    other = tf.random.experimental.stateless_shuffle(tf.range(600), _seed(1, SHUFFLE, 4, 0)).numpy()
    assert sorted(order) == list(range(600))
    assert (order != other).any()


def test_training_lowers_the_loss_and_tells_of_every_step(digits):
    from training.train import Progress, train

    told: list[Progress] = []
    trained = train(SMALL, digits, told.append)
    assert [row.epoch for row in trained.history] == [1, 2, 3]
    assert trained.history[-1].validation.loss < trained.history[0].validation.loss < 500
    for row in trained.history:
        assert row.train.loss == pytest.approx(row.train.xent + row.train.kl)
    assert told[-1].step == told[-1].steps == 90
    assert [stand.finished.epoch for stand in told if stand.finished] == [1, 2, 3]


def test_equal_seeds_give_equal_weights_and_other_seeds_others(digits):
    from training.train import train

    first, second, other = (train(SMALL.model_copy(update={"seed": seed}), digits) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))
    assert not np.array_equal(weights(first)[0], weights(other)[0])


def test_too_few_images_for_a_batch_are_refused(digits):
    from training.train import train

    with pytest.raises(DataError, match="do not fill a batch"):
        train(SMALL.model_copy(update={"limit": 19}), digits)


def test_a_loss_that_is_no_number_ends_the_run(digits):
    from training.train import train

    with pytest.raises(Diverged, match="learning rate"):
        train(SMALL.model_copy(update={"learning_rate": 1e9}), digits)


@pytest.mark.parametrize("latent_dim", [1, 5])
def test_other_latent_sizes_train(digits, latent_dim):
    from training.train import train

    trained = train(SMALL.model_copy(update={"latent_dim": latent_dim, "epochs": 1}), digits)
    assert trained.model.encoder.output_shape == [(None, latent_dim), (None, latent_dim)]
