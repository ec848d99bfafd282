"""A handful of a data set, and a run on it that takes a moment."""

from pathlib import Path

import numpy as np

from training.config import Config
from training.data.dataset import DataSet

CONFIG = Config(epochs=2, encoder_units=(32,), generator_units=(32,), batch_size=50, seed=1)


def first(whole: DataSet, train: int, test: int) -> DataSet:
    assert whole.y_train is not None
    assert whole.y_test is not None
    return DataSet("few", whole.x_train[:train], whole.y_train[:train], whole.x_test[:test], whole.y_test[:test])


def save(data: DataSet, folder: Path) -> Path:
    """The data set as a file that training's command reads."""
    path = folder / f"{data.name}.npz"
    np.savez(path, x_train=data.x_train, y_train=data.y_train, x_test=data.x_test, y_test=data.y_test)
    return path
