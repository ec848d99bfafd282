import numpy as np
import pytest

from training.config import PRESETS

pytestmark = pytest.mark.slow


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
