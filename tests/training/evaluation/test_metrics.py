import numpy as np
import pytest

from app.models.store import ModelStore
from tests.support.paths import ROOT
from training.data.dataset import DataSet
from training.data.datasets import load
from training.evaluation.metrics import neighbour_accuracy, posterior_means
from training.model.autoencoder import Autoencoder


@pytest.mark.slow
def test_measuring_the_published_version_gives_the_manifests_measures(exported, digits):
    from training.evaluation.metrics import evaluate
    from training.export.savedmodel import read_version

    manifest, root = exported
    again = evaluate(read_version(ModelStore(root).open()), digits, manifest.seed)
    assert again == pytest.approx(manifest.measures, rel=1e-5)
    assert 0.9 * again["test_loss"] < again["nll"] < again["test_loss"]


@pytest.fixture(scope="module")
def whole() -> DataSet:
    return load("mnist-5k")


@pytest.mark.slow
def test_the_bound_of_an_image_depends_on_its_place_but_on_no_other_image(whole):
    from training.evaluation.metrics import importance_weighted_nll
    from training.export.savedmodel import read_version

    model = read_version(ModelStore(ROOT / "model_store").open())

    def total(*parts):
        images = np.concatenate(parts)
        return len(images) * importance_weighted_nll(model, images, 0)

    one, other, rest = np.split(whole.x_test[:110], [50, 100])
    after_one = total(one, rest) - total(one)
    assert after_one == pytest.approx(total(other, rest) - total(other), abs=0.05)
    assert after_one == pytest.approx(total(rest), rel=0.005)


def test_the_neighbours_tell_the_class_and_a_few_of_them_are_enough():
    random = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.uint8) % 3
    z = (10 * np.eye(3)[labels] + random.normal(0, 0.1, (60, 3))).astype(np.float32)
    assert neighbour_accuracy(z[:30], labels[:30], z[30:], labels[30:]) == 1
    assert neighbour_accuracy(z[:30], labels[:30], z[30:], (labels[30:] + 1) % 3) == 0
    assert neighbour_accuracy(z[:1], labels[:1], z, labels) == pytest.approx(1 / 3)


@pytest.mark.parametrize("n", [1, 1999, 2000, 2001])
def test_means_are_those_of_the_images_in_order_however_many(n):
    def encoder(pixels):
        return pixels.mean((1, 2))[:, np.newaxis], None

    images = np.arange(n * 4, dtype=np.uint32).astype(np.uint8).reshape(n, 2, 2)
    found = posterior_means(Autoencoder(encoder, None, None), images)
    assert found[:, 0] == pytest.approx(images.mean((1, 2)) / 255, abs=1e-6)
