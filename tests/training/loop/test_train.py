from __future__ import annotations

import numpy as np
import pytest

from tests.support.small_dataset import first
from training.config import PRESETS, Config
from training.data.dataset import DataSet
from training.data.datasets import load
from training.errors import DataError, Diverged

pytestmark = pytest.mark.slow

SMALL = Config(epochs=3, encoder_units=(64,), generator_units=(64,), batch_size=20, seed=5)


@pytest.fixture(scope="module")
def digits() -> DataSet:
    """A handful of real digits."""
    whole = load("mnist-5k")
    return first(whole, 600, 200)


def weights(trained):
    return [variable.numpy() for variable in trained.model.trainable_variables]


def test_the_presets_are_the_notebooks():
    from training.model.autoencoder import build

    for name, limit, epochs in (("notebook", 20_000, 20), ("notebook-full", None, 50)):
        config = PRESETS[name]
        assert (config.limit, config.epochs, config.batch_size) == (limit, epochs, 100)
        assert (config.optimizer, config.epsilon_std) == ("rmsprop", 1)
        model = build(config, (28, 28))
        shapes = [tuple(variable.shape) for variable in model.trainable_variables]
        assert shapes == [(784, 256), (256,), (256, 2), (2,), (256, 2), (2,), (2, 256), (256,), (256, 784), (784,)]
        activations = [getattr(layer, "activation", None) for layer in model.encoder.layers]
        assert [activation.__name__ for activation in activations if activation] == ["relu", "linear", "linear"]


def test_the_notebooks_optimizer_is_keras_rmsprop_with_its_defaults():
    import keras

    from training.loop import optimizer

    ours, theirs = optimizer.build(PRESETS["notebook"], [keras.Variable(np.zeros(2))], 200), keras.optimizers.RMSprop()
    assert type(ours) is type(theirs)
    assert ours.get_config() | {"name": ""} == theirs.get_config() | {"name": ""}


def test_adamw_warms_up_falls_as_a_cosine_and_decays_kernels_only():
    import keras

    from training.loop import optimizer

    config = PRESETS["best"].model_copy(update={"epochs": 5, "weight_decay": 0.5, "warmup_epochs": 1.0})
    kernel, bias = keras.Variable(np.ones((2, 2), np.float32)), keras.Variable(np.ones(2, np.float32))
    built = optimizer.build(config, [kernel, bias], 10)
    rates = []
    for _ in range(50):
        rates.append(float(built.learning_rate))
        built.apply([keras.ops.zeros((2, 2)), keras.ops.zeros(2)], [kernel, bias])
    assert rates[0] == 0
    assert rates[10] == pytest.approx(1e-3) == max(rates)
    assert rates[30] == pytest.approx(5e-4, rel=0.01)
    assert rates[-1] < 2e-6
    assert kernel.numpy().max() < 1
    assert bias.numpy().tolist() == [1, 1]


def test_the_loss_is_784_times_keras_binary_cross_entropy_plus_the_notebooks_kl():
    import keras
    import tensorflow as tf

    from training.loop.losses import cross_entropy, kl_divergence

    rng = np.random.default_rng(0)
    x, logits = rng.random((5, 784), np.float32), rng.normal(0, 2, (5, 784)).astype(np.float32)
    expected = 784 * keras.losses.binary_crossentropy(x, tf.sigmoid(logits)).numpy()
    assert np.allclose(cross_entropy(x, logits), expected, rtol=1e-4)
    mean, log_var = rng.normal(0, 1, (2, 5, 2)).astype(np.float32)
    expected = -0.5 * (1 + log_var - mean**2 - np.exp(log_var)).sum(1)
    assert np.allclose(kl_divergence(mean, log_var), expected, rtol=1e-5)


@pytest.mark.parametrize("warp_strength", [0.0, 1.0])
def test_one_step_is_the_step_that_plain_keras_takes(digits, warp_strength):
    """The compiled loop against eager gradients and Keras' optimizer, from the same weights and noise."""
    import keras
    import tensorflow as tf

    from training import seeds
    from training.data.augmentation import augment
    from training.loop.losses import elbo_terms
    from training.loop.train_step import Steps
    from training.model.autoencoder import build, to_pixels

    config = SMALL.model_copy(update={"warp": warp_strength})
    model, other = build(config, (28, 28)), build(config, (28, 28))
    Steps(config, model, None, 30).run(digits.x_train[np.newaxis, :20], 2, 7)

    pixels = to_pixels(digits.x_train[:20])
    # XLA draws other numbers from a seed than the plain kernel does.
    lossy = tf.function(
        lambda p, purpose: sum(map(tf.reduce_mean, elbo_terms(other, p, draw(purpose)))), jit_compile=True
    )
    warped = tf.function(lambda: augment(pixels, draw(seeds.WARP), 1.0), jit_compile=True)

    def draw(purpose):
        return seeds.of_draw(config.seed, purpose, 2, 7)

    with tf.GradientTape(persistent=True) as tape:
        true = lossy(pixels, seeds.NOISE)
        encoders = (true + lossy(warped(), seeds.WARPED_NOISE)) / 2 if warp_strength else true
    encoder, generator = other.encoder.trainable_variables, other.generator.trainable_variables
    gradients = [*tape.gradient(encoders, encoder), *tape.gradient(true, generator)]
    keras.optimizers.RMSprop().apply(gradients, [*encoder, *generator])
    for ours, theirs, gradient in zip(model.trainable_variables, [*encoder, *generator], gradients, strict=True):
        # The first step of RMSprop is nearly the gradient's sign, which rounding decides where it is about zero.
        clear = np.abs(gradient.numpy()) > 1e-4
        assert clear.mean() > 0.3
        assert np.abs(ours.numpy() - theirs.numpy())[clear].max() < 2e-5


def test_the_published_weights_are_the_running_mean(digits):
    from training.loop.train_step import Steps
    from training.model.autoencoder import build

    config = SMALL.model_copy(update={"average": 0.999})
    model, average = build(config, (28, 28)), build(config, (28, 28))
    steps = Steps(config, model, average, 30)
    mean = model.trainable_variables[0].numpy()
    for i in range(3):
        steps.run(digits.x_train[np.newaxis, :20], 0, i)
        decay = (2 + i) / (11 + i)
        mean = decay * mean + (1 - decay) * model.trainable_variables[0].numpy()
    assert np.abs(average.trainable_variables[0].numpy() - mean).max() < 1e-6


def test_a_warp_moves_strokes_by_little_and_keeps_the_range(digits):
    import tensorflow as tf

    from training.data.augmentation import augment
    from training.model.autoencoder import to_pixels

    pixels = to_pixels(digits.x_train[:50])
    assert np.allclose(augment(pixels, tf.constant([1, 2]), 0.0), pixels, atol=1e-6)
    warped = augment(pixels, tf.constant([1, 2]), 1.0).numpy()
    assert 0 <= warped.min() <= warped.max() <= 1
    assert 0.02 < np.abs(warped - pixels).mean() < 0.1
    ratio = warped.sum((1, 2)) / pixels.numpy().sum((1, 2))
    assert 0.7 < ratio.min() < ratio.max() < 1.3


def test_an_epoch_sees_every_image_once_in_an_order_of_its_own():
    from training import seeds

    orders = [seeds.order(seed, epoch, 600).tolist() for seed, epoch in ((1, 3), (1, 3), (1, 4), (2, 3))]
    assert sorted(orders[0]) == list(range(600))
    assert orders[0] == orders[1]
    assert orders[0] not in orders[2:]


def test_training_lowers_the_loss_and_tells_of_every_step(digits):
    from training.loop.train import Progress, train

    told: list[Progress] = []
    trained = train(SMALL, digits, told.append)
    assert [row.epoch for row in trained.history] == [1, 2, 3]
    assert trained.history[-1].validation.loss < trained.history[0].validation.loss < 500
    for row in trained.history:
        assert row.train.loss == pytest.approx(row.train.xent + row.train.kl)
    assert (told[0].step, told[0].steps, told[0].model) == (0, 90, trained.model)  # before the first step
    assert [stand.step for stand in told[1:]] == [30, 60, 90]
    assert told[-1].steps == 90
    assert [stand.finished.epoch for stand in told if stand.finished] == [1, 2, 3]


def test_equal_seeds_give_equal_weights_and_other_seeds_others(digits):
    from training.loop.train import train

    first, second, other = (train(SMALL.model_copy(update={"seed": seed}), digits) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))
    assert not np.array_equal(weights(first)[0], weights(other)[0])


def test_too_few_images_for_a_batch_are_refused(digits):
    from training.loop.train import train

    with pytest.raises(DataError, match="do not fill a batch"):
        train(SMALL.model_copy(update={"limit": 19}), digits)


def test_a_loss_that_is_no_number_ends_the_run(digits):
    from training.loop.train import train

    with pytest.raises(Diverged, match="learning rate"):
        train(SMALL.model_copy(update={"learning_rate": 1e9}), digits)


@pytest.mark.parametrize("latent_dim", [1, 5])
def test_other_latent_sizes_train(digits, latent_dim):
    from training.loop.train import train

    trained = train(SMALL.model_copy(update={"latent_dim": latent_dim, "epochs": 1}), digits)
    assert trained.model.encoder.output_shape == [(None, latent_dim), (None, latent_dim)]
