import numpy as np
import pytest

from training.config import Config
from training.errors import DataError, Diverged

pytestmark = pytest.mark.slow

SMALL = Config(epochs=3, encoder_units=(64,), generator_units=(64,), batch_size=20, seed=5)


def weights(trained):
    return [variable.numpy() for variable in trained.model.trainable_variables]


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
