import json

import numpy as np
import pytest

from app.models import latent_points


def table(folder, **arrays):
    path = folder / "latents.npz"
    np.savez_compressed(path, **arrays)
    return path


def test_points_keep_their_class_and_three_decimals(tmp_path):
    path = table(tmp_path, z_mean=np.array([[0.12345, -1], [2, 3]], np.float32), labels=np.array([7, 1], np.uint8))
    assert json.loads(latent_points.load(path)) == {"z_mean": [[0.123, -1], [2, 3]], "labels": [7, 1]}


def test_points_without_classes_have_none(tmp_path):
    assert json.loads(latent_points.load(table(tmp_path, z_mean=np.zeros((2, 3))))) == {
        "z_mean": [[0] * 3] * 2,
        "labels": None,
    }


@pytest.mark.parametrize(("n", "d"), [(25_000, 2), (10_000, 64), (3, 500_000)])
def test_many_points_are_thinned_evenly(n, d, tmp_path, monkeypatch):
    monkeypatch.setattr(latent_points, "MAX_NUMBERS", 20_000)
    z_mean = np.broadcast_to(np.arange(n)[:, np.newaxis] / 1000, (n, d))
    found = json.loads(latent_points.load(table(tmp_path, z_mean=z_mean, labels=np.arange(n) % 10)))
    kept = np.array(found["z_mean"])[:, 0]
    assert len(found["labels"]) == len(kept) <= latent_points.MAX_POINTS
    assert kept.size * d <= latent_points.MAX_NUMBERS or len(kept) == 1
    assert np.ptp(np.diff(kept)) < 1e-6 if len(kept) > 1 else True


def test_a_report_without_points_has_an_empty_list(tmp_path):
    assert json.loads(latent_points.load(tmp_path / "latents.npz")) == {"z_mean": [], "labels": None}


@pytest.mark.parametrize(
    "arrays",
    [
        {"other": np.zeros((2, 2))},
        {"z_mean": np.zeros(2)},
        {"z_mean": np.full((2, 2), np.nan)},
        {"z_mean": np.zeros((2, 2)), "labels": np.zeros(3)},
        {"z_mean": np.array([[object()]])},
    ],
)
def test_a_table_of_something_else_is_left_out(arrays, tmp_path):
    assert latent_points.load(table(tmp_path, **arrays)) == latent_points.NONE


def test_a_damaged_table_is_left_out(tmp_path):
    path = table(tmp_path, z_mean=np.zeros((200, 2)))
    path.write_bytes(path.read_bytes()[:100])
    assert latent_points.load(path) == latent_points.NONE
