import hashlib

import numpy as np
import pytest
from PIL import Image

from training.data import datasets
from training.data.image_folder import Preparing
from training.errors import DataError


def draw_pictures(folder, digit, n=10):
    folder.mkdir(exist_ok=True)
    for i in range(n):
        Image.fromarray(255 - digit).resize((60 + i, 60 + i)).save(folder / f"{i}.png")


def load_folder(folder, **options):
    return datasets.load(str(folder), Preparing(cache=folder.parent / "cache", **options))


def test_a_folder_of_pictures_is_prepared_like_mnist_and_split(tmp_path, digit):
    folder = tmp_path / "mine"
    folder.mkdir()
    for label in ("one", "seven"):
        draw_pictures(folder / label, digit)
    found = load_folder(folder)
    assert found.x_train.shape == (16, 28, 28)
    assert found.x_test.shape == (4, 28, 28)
    assert found.y_train is not None
    assert found.y_test is not None
    assert np.bincount(np.concatenate([found.y_train, found.y_test])).tolist() == [10, 10]
    assert np.abs(found.x_train.mean(0) - digit).mean() < 20


def test_pictures_without_classes_make_a_set_without_labels_of_any_size(tmp_path, digit):
    draw_pictures(tmp_path / "mine", digit)
    found = load_folder(tmp_path / "mine", size=40)
    assert found.x_train.shape == (8, 40, 40)
    assert found.y_train is None
    assert found.record.arrays["y_train"] == hashlib.sha256().hexdigest()


def test_prepared_pictures_stay_on_disk_and_are_made_once(tmp_path, digit):
    draw_pictures(tmp_path / "mine", digit)
    told = []
    first, second = (
        load_folder(tmp_path / "mine", on_progress=lambda done, of: told.append((done, of))) for _ in range(2)
    )
    assert told == [(0, 10), (10, 10)]
    assert isinstance(first.x_train.base, np.memmap) or isinstance(first.x_train, np.memmap)
    assert first.record == second.record
    (tmp_path / "mine" / "0.png").unlink()
    draw_pictures(tmp_path / "mine", digit, 12)
    assert load_folder(tmp_path / "mine").record.train_images == 10


def test_bad_picture_folders_are_refused(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(DataError, match="holds no PNG"):
        load_folder(folder)
    (folder / "a").mkdir()
    with pytest.raises(DataError, match="nor do its sub-folders"):
        load_folder(folder)
    (folder / "a" / "x.png").write_bytes(b"text")
    with pytest.raises(DataError, match="at least 10"):
        load_folder(folder)
    for i in range(10):
        (folder / "a" / f"{i}.png").write_bytes(b"text")
    with pytest.raises(DataError, match=r"\.png: The bytes are not a picture"):
        load_folder(folder)
