import pytest
from pydantic import ValidationError

from training.config import PRESETS, Config


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0}, {"batch_size": 0}, {"limit": 0}, {"seed": -1}, {"seed": 2**31}, {"latent_dim": 0},
        {"latent_dim": 513}, {"learning_rate": 0}, {"average": 1}, {"warp": 3.1}, {"optimizer": "sgd"}, {"epoch": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_out_of_range_or_an_unknown_name_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Config.model_validate(wrong)


def test_a_configuration_reads_back_as_it_was_written_and_does_not_change():
    for name, config in PRESETS.items():
        assert config.preset == name
        assert Config.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValidationError, match="frozen"):
        PRESETS["best"].epochs = 1  # type: ignore[misc]
