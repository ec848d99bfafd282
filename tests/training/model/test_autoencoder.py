import numpy as np
import pytest

from training.config import Config
from training.model.autoencoder import LOG_VAR_RANGE, Autoencoder, build, summary

CONFIG = Config(encoder_units=(8, 4), generator_units=(6,), seed=3)


class Counted:
    def __init__(self, weights: int) -> None:
        self.weights = weights

    def count_params(self) -> int:
        return self.weights


@pytest.mark.parametrize(
    ("changes", "generator"),
    [({}, "2-6-784"), ({"latent_dim": 3}, "3-6-784"), ({"fourier_features": 5}, "2-10-6-784")],
)
def test_both_halves_are_described_by_their_units(changes, generator):
    config = CONFIG.model_copy(update=changes)
    model = Autoencoder(Counted(12345), Counted(678), None)
    d = config.latent_dim
    assert summary(model, config, (28, 28)) == (
        f"encoder:   784-8-4-{d}+{d} units, 12,345 parameters",
        f"generator: {generator} units, 678 parameters",
    )


@pytest.mark.slow
def test_equal_seeds_build_equal_weights_and_other_seeds_others():
    first, again, other = (build(CONFIG.model_copy(update={"seed": seed}), (14, 10)) for seed in (3, 3, 4))
    kernels = [[variable.numpy() for variable in model.trainable_variables] for model in (first, again, other)]
    assert all(map(np.array_equal, kernels[0], kernels[1]))
    assert not np.array_equal(kernels[0][0], kernels[2][0])


@pytest.mark.slow
@pytest.mark.parametrize("features", [0, 4])
def test_the_image_is_the_sigmoid_of_the_logits_and_z_has_a_bounded_variance(features):
    model = build(CONFIG.model_copy(update={"fourier_features": features}), (14, 10))
    z_mean, z_log_var = model.encoder(1e6 * np.random.default_rng(0).random((5, 14, 10), np.float32))
    assert z_mean.shape == z_log_var.shape == (5, 2)
    low, high = LOG_VAR_RANGE
    assert low <= z_log_var.numpy().min() <= z_log_var.numpy().max() <= high
    z = np.random.default_rng(1).standard_normal((5, 2), np.float32)
    logits = model.logits(z).numpy()
    assert logits.shape == (5, 140)
    assert np.allclose(model.generator(z).numpy().reshape(5, 140), 1 / (1 + np.exp(-logits)), atol=1e-6)


@pytest.mark.slow
def test_the_first_posteriors_are_as_wide_as_the_configuration_says():
    model = build(CONFIG.model_copy(update={"initial_log_var": -2.0}), (14, 10))
    _, z_log_var = model.encoder(np.random.default_rng(0).random((5, 14, 10), np.float32))
    assert z_log_var.numpy() == pytest.approx(-2, abs=0.2)
