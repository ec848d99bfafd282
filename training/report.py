"""The pictures and tables of a run: what the notebook shows, and what a reader of a result wants to see."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from app import images, manifold
from app.images import ByteArray, FloatArray
from training.data import DataSet
from training.evaluate import posterior_means, reconstructions
from training.train import Epoch, Trained

SIDE = 15
LOW, HIGH = 0.05, 0.95
SHOWN = 10  # digits beside their reconstructions, per class where there are ten

DPI = 120


def write_report(trained: Trained, data: DataSet, folder: Path) -> None:
    """Write manifold.png, latent.png, history.png, reconstructions.png, history.csv and latents.npz.

    Args:
        trained: the run.
        data: its data; the pictures show test images.
        folder: made here.
    """
    folder.mkdir(parents=True)
    z_mean = posterior_means(trained.model, data.x_test)
    np.savez_compressed(folder / "latents.npz", z_mean=z_mean, labels=data.y_test)
    _history_table(trained.history, folder / "history.csv")
    _history_picture(trained.history, folder / "history.png")
    _reconstruction_picture(trained, data, folder / "reconstructions.png")
    if trained.config.latent_dim >= 2:
        (folder / "manifold.png").write_bytes(manifold_picture(trained))
        _latent_picture(z_mean, data.y_test, folder / "latent.png")


def manifold_picture(trained: Trained) -> bytes:
    """The notebook's 15 x 15 digits, in one call of the generator, as a PNG."""
    z = manifold.latents(manifold.grid(SIDE, LOW, HIGH), trained.config.latent_dim)
    digits = images.to_bytes(np.asarray(trained.model.generator(z)))
    return images.encode_png(images.contact_sheet(digits, SIDE))


def _history_table(history: list[Epoch], path: Path) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["epoch", "loss", "xent", "kl", "val_loss", "val_xent", "val_kl", "seconds"])
        for row in history:
            numbers = [f"{number:.4f}" for number in (*row.train, *row.validation)]
            table.writerow([row.epoch, *numbers, f"{row.seconds:.3f}"])


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure that belongs to no window system, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots()


def _history_picture(history: list[Epoch], path: Path) -> None:
    figure, axes = _figure(7, 4.2)
    epochs = [row.epoch for row in history]
    axes.plot(epochs, [row.train.loss for row in history], label="training", color="tab:blue", marker=".")
    axes.plot(epochs, [row.validation.loss for row in history], label="test", color="tab:orange", marker=".")
    axes.plot(epochs, [row.validation.xent for row in history], label="test, cross-entropy", color="0.6", ls="--")
    axes.set(xlabel="epoch", ylabel="nats per image", title="Loss")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path)


def _latent_picture(z_mean: FloatArray, labels: ByteArray, path: Path) -> None:
    figure, axes = _figure(7.4, 6.4)
    classes = np.unique(labels)
    palette = "tab10" if len(classes) <= 10 else "nipy_spectral"
    from matplotlib import colormaps

    colors = colormaps[palette](np.linspace(0, 1, max(len(classes), 2)))
    for label, color in zip(classes, colors, strict=False):
        mine = z_mean[labels == label]
        axes.scatter(mine[:, 0], mine[:, 1], s=3, color=color, alpha=0.6, linewidths=0, label=str(label))
    for label in classes:
        x, y = np.median(z_mean[labels == label, :2], 0)
        axes.text(
            x,
            y,
            str(label),
            ha="center",
            va="center",
            weight="bold",
            bbox={"fc": "white", "alpha": 0.7, "lw": 0},
        )
    axes.set(xlabel="z[0]", ylabel="z[1]", title="The test set in the latent plane (z_mean)", aspect="equal")
    axes.legend(title="class", markerscale=4, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path)


def _reconstruction_picture(trained: Trained, data: DataSet, path: Path) -> None:
    """Test images, the first of each class, in the upper row; what the model makes of them below."""
    first = [int(np.flatnonzero(data.y_test == label)[0]) for label in np.unique(data.y_test)][:SHOWN]
    originals = data.x_test[first]
    again = images.to_bytes(reconstructions(trained.model, originals))
    sheet = images.contact_sheet(np.concatenate([originals, again]), len(first))
    path.write_bytes(images.encode_png(images.enlarge(sheet, 3, 10**9)))
