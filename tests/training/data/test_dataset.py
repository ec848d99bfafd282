import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.test_datasets import X, save
from training.data import datasets
from training.data.dataset import KNOWN, DataSet, held_out
from training.errors import DataError


def test_a_known_content_is_recognised_whatever_its_file_is_called(tmp_path, monkeypatch):
    path = save(tmp_path / "mine.npz")
    monkeypatch.setitem(KNOWN, datasets.load(path).digests, "digits-we-know")
    assert datasets.load(path).name == "digits-we-know"


def test_the_digest_changes_with_any_pixel(tmp_path):
    other = X[:20].copy()
    other[3, 4, 5] ^= 1
    first, second = (datasets.load(save(tmp_path / f"{i}.npz", x_train=x)) for i, x in enumerate((X[:20], other)))
    assert first.record.sha256 != second.record.sha256


@given(st.integers(10, 3000))
def test_a_fifth_is_held_out_and_always_the_same(n):
    test, train = held_out("mine", n)
    assert len(test) == round(n / 5)
    assert sorted([*test, *train]) == list(range(n))
    assert np.array_equal(held_out("other", n)[0], test)


def test_too_few_images_to_hold_some_out_are_refused_by_name():
    with pytest.raises(DataError, match="mine has 9 images"):
        held_out("mine", 9)


def test_a_set_without_classes_has_the_digests_of_nothing_in_their_place():
    found = DataSet("mine", X[:20, :14], None, X[20:, :14], None)
    assert found.image_shape == (14, 28)
    assert found.digests[1] == found.digests[3] == hashlib.sha256().hexdigest()
    assert found.digests[0] == hashlib.sha256(X[:20, :14].tobytes()).hexdigest()  # of a view, in C order
    assert found.recognised().name == "mine"
