from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.small_dataset import first, save
from training.data.datasets import load


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 2,000 digits to train on and 100 to measure on: measuring on 1,000 takes ten seconds of a core."""
    return save(first(load("mnist-5k"), 2000, 100), tmp_path_factory.mktemp("few"))
