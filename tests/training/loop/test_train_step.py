import numpy as np
import pytest

from tests.training.loop.test_train import SMALL

pytestmark = pytest.mark.slow


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
