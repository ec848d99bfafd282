import gzip
import struct
import sys

import numpy as np
import pytest

from training.data import datasets
from training.errors import DataError

rng = np.random.default_rng(0)
X, Y = rng.integers(0, 255, (30, 28, 28), np.uint8), np.arange(30, dtype=np.uint8) % 10


def save(path, **arrays):
    whole = {"x_train": X[:20], "y_train": Y[:20], "x_test": X[20:], "y_test": Y[20:]}
    np.savez(path, **{name: array for name, array in (whole | arrays).items() if array is not None})
    return str(path)


def test_an_npz_in_keras_layout_is_read(tmp_path):
    found = datasets.load(save(tmp_path / "mine.npz"))
    assert found.name == "mine"
    assert np.array_equal(found.x_train, X[:20])
    assert np.array_equal(found.y_test, Y[20:])
    assert found.record.train_images == 20
    assert set(found.record.arrays) == {"x_train", "y_train", "x_test", "y_test"}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x_train": None}, "lacks x_train"),
        ({"y_train": None, "y_test": None}, "lacks y_train, y_test"),
        ({"x_train": X[:20].astype(np.float32)}, "uint8"),
        ({"x_train": X[:20].reshape(20, 784)}, "n, height, width"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "at least 1"),
        ({"y_train": Y[:19]}, "20 whole numbers"),
        ({"y_test": Y[20:].astype(np.float32)}, "whole numbers"),
        ({"y_train": Y[:20].astype(np.int64) - 1}, "0 .. 255"),
        ({"x_test": X[20:, :14]}, "differ in size"),
    ],
)
def test_an_npz_that_is_not_a_data_set_is_refused(tmp_path, arrays, words):
    with pytest.raises(DataError, match=words):
        datasets.load(save(tmp_path / "mine.npz", **arrays))


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 broken"])
def test_a_file_that_is_no_npz_is_refused(tmp_path, content):
    (tmp_path / "mine.npz").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        datasets.load(str(tmp_path / "mine.npz"))


def test_a_missing_path_says_what_else_there_is():
    with pytest.raises(DataError, match="mnist-5k"):
        datasets.load("/nowhere/digits.npz")


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_a_folder_of_idx_files_is_read(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(X[:20]))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(Y[:20]))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(X[20:])))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(Y[20:])))
    found = datasets.load(str(tmp_path))
    assert np.array_equal(found.x_test, X[20:])
    assert np.array_equal(found.y_train, Y[:20])


def test_a_broken_or_missing_idx_file_is_named(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(X)[:-5])
    with pytest.raises(DataError, match="lacks the IDX files train-labels"):
        datasets.load(str(tmp_path))
    for kind in ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (tmp_path / kind).write_bytes(b"")
    with pytest.raises(DataError, match="not a whole IDX file"):
        datasets.load(str(tmp_path))


def test_mnist_5k_needs_no_network_and_splits_the_same_way_every_time():
    first, second = datasets.load("mnist-5k"), datasets.load("mnist-5k")
    assert first.record == second.record
    assert (first.record.train_images, first.record.test_images) == (4000, 1000)
    assert first.x_train.max() == 255
    assert np.bincount(first.y_test).min() > 50


def test_mnist_is_read_from_the_file_that_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_MNIST", save(tmp_path / "copy.npz"))
    assert datasets.load("mnist").record.train_images == 20


def test_without_a_network_mnist_says_what_to_do_instead(monkeypatch):
    class Datasets:
        class datasets:  # noqa: N801
            class mnist:  # noqa: N801
                @staticmethod
                def load_data():
                    raise OSError("no route to host")

    monkeypatch.delenv("VAE_MNIST", raising=False)
    monkeypatch.setitem(sys.modules, "keras", Datasets)
    with pytest.raises(DataError, match=r"mnist-5k.*VAE_MNIST"):
        datasets.load("mnist")
