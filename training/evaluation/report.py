"""The pictures and tables of a run's report, including the notebook's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.imaging import manifold
from app.imaging.png import encode_png
from app.imaging.sheets import contact_sheet, enlarge, to_uint8
from app.imaging.types import ByteArray, FloatArray
from training.data.dataset import DataSet
from training.evaluation.metrics import posterior_means, reconstructions
from training.loop.history import Epoch, write_table
from training.loop.train import TrainingResult
from training.model.autoencoder import Autoencoder

SIDE = 15
LOW, HIGH = 0.05, 0.95
DPI = 120

# Where the notebook's own two runs end, on MNIST: test loss in nats, mean of three seeds.
REFERENCES = {"notebook": 161.4, "notebook-full": 151.8}


@dataclass(frozen=True)
class Plane:
    """The plane of the latent space that the pictures show."""

    origin: FloatArray  # (d,)
    axes: FloatArray  # (2, d), orthonormal
    names: tuple[str, str]

    def coordinates(self, z: FloatArray) -> FloatArray:
        """Return the coordinates (n, 2) of points (n, d), projected onto the plane."""
        return np.asarray((z - self.origin) @ self.axes.T, np.float32)

    def points(self, coordinates: FloatArray) -> FloatArray:
        """Return the points (n, d) at coordinates (n, 2)."""
        return np.asarray(self.origin + coordinates @ self.axes, np.float32)


def plane_of(z_mean: FloatArray) -> Plane | None:
    """Return the latent space if d = 2, its first two principal directions if d > 2, or None if d = 1."""
    d = z_mean.shape[1]
    if d == 1:
        return None
    if d == 2:
        return Plane(np.zeros(2, np.float32), np.eye(2, dtype=np.float32), ("z[0]", "z[1]"))
    origin = z_mean.mean(0)
    alone = len(z_mean) == 1  # a single point has no second direction unless all are asked for
    directions = np.linalg.svd(z_mean - origin, full_matrices=alone)[2][:2]
    names = ("first principal direction of z_mean", "second principal direction of z_mean")
    return Plane(origin, directions.astype(np.float32), names)


def write_report(trained: TrainingResult, data: DataSet, folder: Path) -> None:
    """Write history.csv, latents.npz and the pictures.

    Args:
        trained: the run.
        data: its data set; the pictures show test images.
        folder: the folder to create.
    """
    folder.mkdir(parents=True)
    model = trained.model
    z_mean = posterior_means(model, data.x_test)
    plane = plane_of(z_mean)
    if data.y_test is None:
        np.savez_compressed(folder / "latents.npz", z_mean=z_mean)
    else:
        np.savez_compressed(folder / "latents.npz", z_mean=z_mean, labels=data.y_test)
    write_table(trained.history, folder / "history.csv")
    _history_picture(trained.history, data.name, folder / "history.png")
    _reconstruction_picture(model, data, folder / "reconstructions.png")
    (folder / "samples.png").write_bytes(_samples(model, trained.config.latent_dim))
    if plane:
        (folder / "manifold.png").write_bytes(_manifold(model, plane))
        _latent_picture(plane, plane.coordinates(z_mean), data.y_test, folder / "latent.png")


def _manifold(model: Autoencoder, plane: Plane) -> bytes:
    """Decode the notebook's 15 x 15 digits, in one call of the generator; return them as a PNG."""
    coordinates = manifold.latents(manifold.grid(SIDE, LOW, HIGH), 2)
    return _sheet(model.generator(plane.points(coordinates)), SIDE)


def _samples(model: Autoencoder, latent_dim: int) -> bytes:
    """Decode the same 80 samples from the prior at each call; return them as a PNG."""
    return _sheet(model.generator(np.random.default_rng(0).standard_normal((80, latent_dim), np.float32)), 16)


def _sheet(digits: Any, columns: int, scale: int = 1) -> bytes:
    sheet = contact_sheet(to_uint8(np.asarray(digits)), columns)
    return encode_png(enlarge(sheet, scale, 10**9))


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """Create a figure without a window system, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots()


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Software": None})  # equal runs give equal files


def _history_picture(history: list[Epoch], data: str, path: Path) -> None:
    figure, axes = _figure(7, 4.2)
    epochs = [row.epoch for row in history]
    axes.plot(epochs, [row.train.loss for row in history], label="training", color="tab:blue")
    axes.plot(epochs, [row.validation.loss for row in history], label="test", color="tab:orange")
    axes.plot(epochs, [row.validation.xent for row in history], label="test, cross-entropy", color="0.6", ls="--")
    last = history[-1].validation.loss
    axes.annotate(f"{last:.1f}", (epochs[-1], last), (4, 0), textcoords="offset points", va="center")
    if data == "mnist":
        for name, loss in REFERENCES.items():
            axes.axhline(loss, color="0.4", lw=0.8, ls=":")
            axes.text(epochs[-1], loss, f"{name} ends here", ha="right", va="bottom", size=8, color="0.4")
    # The first epoch falls from far above: what comes after it is what one wants to see.
    highest = max(row.validation.loss for row in history)
    lowest = min(row.validation.xent for row in history)
    axes.set_ylim(lowest - 2, max(highest, max(REFERENCES.values()) if data == "mnist" else highest) + 5)
    axes.set(xlabel="epoch", ylabel="nats per image", title="Loss")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    _save(figure, path)


def _latent_picture(plane: Plane, points: FloatArray, labels: ByteArray | None, path: Path) -> None:
    figure, axes = _figure(7.4, 6.4)
    axes.set(xlabel=plane.names[0], ylabel=plane.names[1], aspect="equal")
    axes.set_title("The test set in the latent space (z_mean)")
    if labels is None:
        axes.scatter(points[:, 0], points[:, 1], s=3, color="tab:blue", alpha=0.5, linewidths=0)
    else:
        _scatter_classes(axes, points, labels)
    _save(figure, path)


def _scatter_classes(axes: Any, points: FloatArray, labels: ByteArray) -> None:
    """Plot each class in a colour of its own, with a legend, and its number at its median."""
    from matplotlib import colormaps

    classes = np.unique(labels)
    colors = colormaps["tab10" if len(classes) <= 10 else "nipy_spectral"](np.linspace(0, 1, max(len(classes), 2)))
    for label, color in zip(classes, colors, strict=False):
        mine = points[labels == label]
        axes.scatter(mine[:, 0], mine[:, 1], s=3, color=color, alpha=0.6, linewidths=0, label=str(label))
    box = {"fc": "white", "alpha": 0.7, "lw": 0}
    for label in classes:
        x, y = np.median(points[labels == label], 0)
        axes.text(x, y, str(label), ha="center", va="center", weight="bold", bbox=box)
    axes.legend(title="class", markerscale=4, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _reconstruction_picture(model: Autoencoder, data: DataSet, path: Path) -> None:
    """Write rows of test images, two of each class if there are classes; below each row write their reconstructions."""
    originals = data.x_test[_shown(data)]
    again = reconstructions(model, originals)
    half = len(originals) // 2
    pairs = [part[rows] for rows in (slice(0, half), slice(half, 2 * half)) for part in (originals / 255, again)]
    path.write_bytes(_sheet(np.concatenate(pairs), half, scale=2))


def _shown(data: DataSet) -> list[int]:
    if data.y_test is None:
        return list(range(min(20, len(data.x_test) // 2 * 2))) or [0, 0]
    places = [np.flatnonzero(data.y_test == label)[:2] for label in np.unique(data.y_test)[:20]]
    return [int(each[i % len(each)]) for i in (0, 1) for each in places]
