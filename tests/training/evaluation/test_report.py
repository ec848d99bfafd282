import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imaging.decode import open_picture
from training.data.dataset import DataSet
from training.evaluation.report import _shown, plane_of


@pytest.mark.slow
def test_the_report_holds_the_notebooks_pictures_and_tables(exported, trained, digits):
    _, root = exported
    report = root / "reports" / "1"
    sizes = {path.name: open_picture(path.read_bytes(), 10**7).size for path in report.glob("*.png")}
    assert set(sizes) == {"manifold.png", "latent.png", "history.png", "reconstructions.png", "samples.png"}
    assert sizes["manifold.png"] == (420, 420)
    with (report / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["val_loss"]) == pytest.approx(trained.history[1].validation.loss, abs=1e-3)
    with np.load(report / "latents.npz") as latents:
        assert latents["z_mean"].shape == (200, 2)
        assert np.array_equal(latents["labels"], digits.y_test)


@given(d=st.integers(2, 12), n=st.integers(1, 30), seed=st.integers(0, 99))
def test_the_pictures_show_a_plane_whose_points_keep_their_place(d, n, seed):
    random = np.random.default_rng(seed)
    plane = plane_of(random.normal(0, 2, (n, d)).astype(np.float32))
    assert plane is not None
    assert plane.axes.shape == (2, d)
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2), abs=1e-4)
    coordinates = random.normal(0, 3, (7, 2)).astype(np.float32)
    assert plane.coordinates(plane.points(coordinates)) == pytest.approx(coordinates, abs=1e-3)


def test_a_latent_plane_is_shown_as_it_is_and_a_line_not_at_all():
    z = np.array([[1, 2], [3, 5], [-1, 0]], np.float32)
    plane = plane_of(z)
    assert plane is not None
    assert plane.names == ("z[0]", "z[1]")
    assert np.array_equal(plane.coordinates(z), z)
    assert plane_of(z[:, :1]) is None


def test_a_space_of_more_dimensions_is_shown_where_it_varies_most():
    z = np.random.default_rng(0).normal(0, (0.1, 5, 0.1, 2), (500, 4)).astype(np.float32)
    plane = plane_of(z)
    assert plane is not None
    assert np.abs(plane.axes[:, [1, 3]]) == pytest.approx(np.eye(2), abs=0.05)


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        ([1, 0, 1, 0, 1], [1, 0, 3, 2]),
        ([0, 0, 0, 4], [0, 3, 1, 3]),  # a class of one is shown twice
        (None, [0, 1, 2, 3]),
    ],
)
def test_two_of_each_class_are_shown(labels, shown):
    images = np.zeros((5, 2, 2), np.uint8)[: 5 if labels is None else len(labels)]
    classes = None if labels is None else np.array(labels, np.uint8)
    assert _shown(DataSet("few", images, classes, images, classes)) == shown
