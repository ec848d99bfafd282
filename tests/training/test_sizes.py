"""Data sets of any size are trained on, measured and published: none need fill a batch of whatever kind."""

from dataclasses import replace

import pytest

from app.models.store import ModelStore
from tests.support.small_dataset import first
from training.config import Config
from training.data.dataset import DataSet
from training.data.datasets import load

pytestmark = pytest.mark.slow

CONFIG = Config(epochs=1, encoder_units=(16,), generator_units=(16,), batch_size=50, seed=1)


@pytest.fixture(scope="module")
def whole() -> DataSet:
    return load("mnist-5k")


@pytest.mark.parametrize("n", [72, *(pytest.param(n, marks=pytest.mark.long) for n in (60, 130))])
def test_training_publishes_whatever_the_size_of_the_test_set(whole, tmp_path, n):
    from training.export.export import export
    from training.loop.train import train

    few = first(whole, 120, n)
    manifest = export(train(CONFIG, few), few, tmp_path)
    assert ModelStore(tmp_path).open().manifest == manifest
    assert manifest.data.test_images == n
    measures = manifest.measures
    assert 0.9 * measures["test_loss"] < measures["nll"] < measures["test_loss"]


@pytest.mark.parametrize("classes", [True, False])
def test_one_test_image_is_published_with_all_pictures(whole, tmp_path, classes):
    from training.export.export import export
    from training.loop.train import train

    few = first(whole, 50, 1)
    few = few if classes else replace(few, y_train=None, y_test=None)
    export(train(CONFIG.model_copy(update={"latent_dim": 3}), few), few, tmp_path)
    found = {path.name for path in (tmp_path / "reports" / "1").glob("*.png")}
    assert found == {"manifold.png", "latent.png", "history.png", "reconstructions.png", "samples.png"}
