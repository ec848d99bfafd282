"""The Keras optimizer of a run, as its configuration describes it."""

from typing import Any

from training.config import Config


def build(config: Config, variables: list[Any], steps_per_epoch: int) -> Any:
    """Build the optimizer of a run, ready for its variables.

    RMSprop has Keras' defaults. AdamW decays kernels only, and its learning rate rises during the warm-up and falls
    to zero as a cosine (Loshchilov and Hutter 2017 and 2019).
    """
    import keras

    if config.optimizer == "rmsprop":
        optimizer = keras.optimizers.RMSprop(config.learning_rate)
    else:
        rate = _cosine(config, steps_per_epoch)
        optimizer = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, epsilon=1e-8)
        optimizer.exclude_from_weight_decay([variable for variable in variables if len(variable.shape) < 2])
    optimizer.build(variables)
    return optimizer


def _cosine(config: Config, steps_per_epoch: int) -> Any:
    import keras

    warmup = round(config.warmup_epochs * steps_per_epoch)
    rest = max(1, config.epochs * steps_per_epoch - warmup)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, rest)
    return keras.optimizers.schedules.CosineDecay(0.0, rest, warmup_target=config.learning_rate, warmup_steps=warmup)
