from pathlib import Path

import pytest

from tests.support.small_dataset import CONFIG, first, save
from training.data.dataset import DataSet
from training.data.datasets import load


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 2,000 digits to train on and 100 to measure on: measuring on 1,000 takes ten seconds of a core."""
    return save(first(load("mnist-5k"), 2000, 100), tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="session")
def digits() -> DataSet:
    """A handful of real digits."""
    whole = load("mnist-5k")
    return first(whole, 600, 200)


@pytest.fixture(scope="session")
def trained(digits):
    """A small model after two epochs."""
    from training.loop.train import train

    return train(CONFIG, digits)


@pytest.fixture(scope="session")
def exported(trained, digits, tmp_path_factory):
    """Its manifest, and the store that it was published in."""
    from training.export.export import export

    root = tmp_path_factory.mktemp("published")
    return export(trained, digits, root), root
